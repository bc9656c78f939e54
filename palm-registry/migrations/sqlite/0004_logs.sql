-- Lines are paged through in the order in which they came.
CREATE INDEX logs_by_number ON logs (cluster, id);
-- And thrown away in that of their instants.
CREATE INDEX logs_by_age ON logs (at);
