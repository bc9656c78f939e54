-- Lines are looked through in the order of their numbers, also those of a component or a node.
DROP INDEX logs_by_component;
DROP INDEX logs_by_node;
CREATE INDEX logs_by_component ON logs (cluster, component, id);
CREATE INDEX logs_by_node ON logs (cluster, node, id);
