-- What a process tells of itself; not all do.
ALTER TABLE processes ADD COLUMN messages BIGINT;
ALTER TABLE processes ADD COLUMN rate DOUBLE PRECISION;
