-- Signs of life of nodes, and what their runners report of processes: not part of a plan, so that none of it changes a plan's revision.
CREATE TABLE nodes (
    cluster TEXT NOT NULL REFERENCES clusters (key) ON DELETE CASCADE,
    name TEXT NOT NULL,
    ip TEXT NOT NULL,
    processors BIGINT NOT NULL,
    ports_from BIGINT NOT NULL,
    -- Which start of a runner speaks for the node.
    run TEXT NOT NULL,
    seen BIGINT NOT NULL,
    PRIMARY KEY (cluster, name)
);

CREATE TABLE processes (
    cluster TEXT NOT NULL,
    node TEXT NOT NULL,
    component TEXT NOT NULL,
    copy BIGINT NOT NULL,
    state TEXT NOT NULL,
    pid BIGINT,
    since BIGINT NOT NULL,
    restarts BIGINT NOT NULL,
    exit_code BIGINT,
    exit_signal BIGINT,
    cpu_seconds DOUBLE PRECISION NOT NULL,
    memory_bytes BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    seen BIGINT NOT NULL,
    PRIMARY KEY (cluster, node, component, copy),
    FOREIGN KEY (cluster, node) REFERENCES nodes (cluster, name) ON DELETE CASCADE
);

-- The last line of each runner's spool that is kept: what comes again is known by it.
CREATE TABLE spools (
    cluster TEXT NOT NULL REFERENCES clusters (key) ON DELETE CASCADE,
    node TEXT NOT NULL,
    spool TEXT NOT NULL,
    seq BIGINT NOT NULL,
    changed BIGINT NOT NULL,
    PRIMARY KEY (cluster, node, spool)
);

-- Lines of our runner say where they come from; those of Python's do not.
ALTER TABLE logs ADD COLUMN node TEXT;
ALTER TABLE logs ADD COLUMN component TEXT;
ALTER TABLE logs ADD COLUMN copy BIGINT;
ALTER TABLE logs ADD COLUMN stream TEXT;
CREATE INDEX logs_by_component ON logs (cluster, component, at, id);
CREATE INDEX logs_by_node ON logs (cluster, node, at, id);
