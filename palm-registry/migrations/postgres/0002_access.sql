-- NULL: nobody can log in with a password.
ALTER TABLE users ADD COLUMN password TEXT;

-- What a token may do at most: admin, owner, runner or read.
ALTER TABLE tokens ADD COLUMN scope TEXT NOT NULL DEFAULT 'admin';
ALTER TABLE tokens ADD COLUMN name TEXT NOT NULL DEFAULT '';
-- NULL: never.
ALTER TABLE tokens ADD COLUMN expires BIGINT;
CREATE INDEX tokens_by_user ON tokens (user_id);

-- A cookie is known by its SHA-256.
CREATE TABLE sessions (
    hash TEXT NOT NULL PRIMARY KEY,
    user_id BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL
);
CREATE INDEX sessions_by_user ON sessions (user_id);

-- Codes by which the first admin is made.
CREATE TABLE setup_codes (
    hash TEXT NOT NULL PRIMARY KEY,
    expires BIGINT NOT NULL
);

-- Log-ins that were tried and have not succeeded: by name, and by address.
CREATE TABLE attempts (
    id BIGSERIAL PRIMARY KEY,
    subject TEXT NOT NULL,
    at BIGINT NOT NULL
);
CREATE INDEX attempts_by_subject ON attempts (subject, at);
CREATE INDEX attempts_by_time ON attempts (at);

-- How a cluster is known to people: its key is a secret, and so is in no URL of a page.
ALTER TABLE clusters ADD COLUMN id TEXT NOT NULL DEFAULT '';
UPDATE clusters SET id = substr(replace(gen_random_uuid()::text, '-', ''), 1, 16);
CREATE UNIQUE INDEX clusters_by_id ON clusters (id);
CREATE INDEX clusters_by_owner ON clusters (owner);
-- Whether Python's clients are answered.
ALTER TABLE clusters ADD COLUMN python BIGINT NOT NULL DEFAULT 1;

CREATE TABLE shares (
    cluster TEXT NOT NULL REFERENCES clusters (key) ON DELETE CASCADE,
    user_id BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- read or operate
    level TEXT NOT NULL,
    PRIMARY KEY (cluster, user_id)
);
CREATE INDEX shares_by_user ON shares (user_id);

CREATE TABLE versions (
    cluster TEXT NOT NULL REFERENCES clusters (key) ON DELETE CASCADE,
    number BIGINT NOT NULL,
    at BIGINT NOT NULL,
    -- The name of who set it, which outlasts the user.
    author TEXT NOT NULL,
    description TEXT NOT NULL,
    PRIMARY KEY (cluster, number)
);
INSERT INTO versions (cluster, number, at, author, description)
    SELECT clusters.key, 1, clusters.changed, users.name, clusters.description
    FROM clusters JOIN users ON users.id = clusters.owner;

-- Names, not references: it outlasts what it tells of.
CREATE TABLE audit (
    id BIGSERIAL PRIMARY KEY,
    at BIGINT NOT NULL,
    who TEXT NOT NULL,
    address TEXT NOT NULL,
    what TEXT NOT NULL,
    cluster TEXT,
    detail TEXT NOT NULL
);
CREATE INDEX audit_by_cluster ON audit (cluster, id);
