-- A cluster's key can be changed, so it is no longer what other tables know the cluster by: `key` stays what it was at first, and nobody
-- is known by it.
ALTER TABLE clusters ADD COLUMN secret TEXT NOT NULL DEFAULT '';
UPDATE clusters SET secret = key;
CREATE UNIQUE INDEX clusters_by_secret ON clusters (secret);

-- Keys that are no cluster's any more, by their SHA-256: runners that still have one are told why, and nobody else can take it for a cluster
-- of its own, whose file they would run.
CREATE TABLE old_keys (
    hash TEXT NOT NULL PRIMARY KEY,
    -- The id of the cluster.
    cluster TEXT NOT NULL,
    owner BIGINT NOT NULL,
    -- Whether the cluster is no more; otherwise it has another key.
    is_deleted BIGINT NOT NULL,
    at BIGINT NOT NULL
);
CREATE INDEX old_keys_by_cluster ON old_keys (cluster);
