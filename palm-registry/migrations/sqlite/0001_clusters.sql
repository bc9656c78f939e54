-- Instants are microseconds since 1970, in UTC.
CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    is_admin BIGINT NOT NULL,
    created BIGINT NOT NULL
);

-- A token is shown once, and known by its SHA-256 from then on.
CREATE TABLE tokens (
    hash TEXT NOT NULL PRIMARY KEY,
    user_id BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created BIGINT NOT NULL
);

CREATE TABLE clusters (
    key TEXT NOT NULL PRIMARY KEY,
    owner BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    alias TEXT,
    created BIGINT NOT NULL,
    changed BIGINT NOT NULL,
    description TEXT NOT NULL,
    plan TEXT NOT NULL,
    -- Counts changes of the plan, so that of two writers the later is told.
    revision BIGINT NOT NULL
);

CREATE TABLE logs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    cluster TEXT NOT NULL REFERENCES clusters (key) ON DELETE CASCADE,
    at BIGINT NOT NULL,
    text TEXT NOT NULL
);
CREATE INDEX logs_by_time ON logs (cluster, at, id);
