-- Lines are looked through in the order of their numbers, also those of a component or a node.
DROP INDEX logs_by_component;
DROP INDEX logs_by_node;
CREATE INDEX logs_by_component ON logs (cluster, component, id);
CREATE INDEX logs_by_node ON logs (cluster, node, id);

-- Bytes of text that a cluster's lines have, so that nobody has to add them up.
ALTER TABLE log_turns ADD COLUMN bytes BIGINT NOT NULL DEFAULT 0;
INSERT INTO log_turns (cluster, turn) SELECT DISTINCT cluster, 0 FROM logs WHERE cluster NOT IN (SELECT cluster FROM log_turns);
UPDATE log_turns SET bytes = (SELECT COALESCE(SUM(octet_length(text)), 0) FROM logs WHERE logs.cluster = log_turns.cluster);
