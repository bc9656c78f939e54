-- A key that is presented is looked up by its SHA-256, so that no time tells anything of those that there are. Empty: not worked out yet.
ALTER TABLE clusters ADD COLUMN secret_hash TEXT NOT NULL DEFAULT '';
CREATE INDEX clusters_by_secret_hash ON clusters (secret_hash);
