-- Lines are paged through in the order in which they came.
CREATE INDEX logs_by_number ON logs (cluster, id);
-- And thrown away in that of their instants.
CREATE INDEX logs_by_age ON logs (at);

-- Who adds lines of a cluster holds its row until they are there, so that of two lines that are seen the one with the greater number came
-- later.
CREATE TABLE log_turns (
    cluster TEXT NOT NULL PRIMARY KEY REFERENCES clusters (key) ON DELETE CASCADE,
    turn BIGINT NOT NULL
);
