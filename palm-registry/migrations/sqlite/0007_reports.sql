-- What a node reports of its processes is written and read as a whole, each second: JSON, one row a node.
DROP TABLE processes;
ALTER TABLE nodes ADD COLUMN processes TEXT NOT NULL DEFAULT '[]';
