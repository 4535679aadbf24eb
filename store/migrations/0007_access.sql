-- Who may come in over MQTT, and by what. Of tokens and secrets there is only SHA-256.

-- Counts every change, so that a service sees that there is one. Whoever changes something holds its
-- row until the end of the transaction: revisions become visible in their order.
CREATE TABLE bellwire.access_revision (
    singleton bool PRIMARY KEY DEFAULT true CHECK (singleton),
    revision  int8 NOT NULL
) WITH (fillfactor = 20);
INSERT INTO bellwire.access_revision (revision) VALUES (0);

-- Devices and service accounts, which share their names. Rows are never deleted: a revoked one bars
-- who shows a certificate.
CREATE TABLE bellwire.access_account (
    name           text COLLATE "C" PRIMARY KEY,
    kind           text NOT NULL CHECK (kind IN ('device', 'service')),
    speaks_for     text[] NOT NULL DEFAULT '{}',    -- of a gateway: patterns of device ids
    hash           bytea CHECK (length(hash) = 32),
    previous_hash  bytea CHECK (length(previous_hash) = 32),
    previous_until timestamptz,
    created_at     timestamptz NOT NULL,
    rotated_at     timestamptz,
    revoked_at     timestamptz,
    provisioned_by text COLLATE "C",
    revision       int8 NOT NULL,
    CHECK ((previous_hash IS NULL) = (previous_until IS NULL)),
    CHECK (revoked_at IS NULL OR (hash IS NULL AND previous_hash IS NULL))
);
CREATE INDEX access_account_revision ON bellwire.access_account (revision);

-- Tokens that register new devices.
CREATE TABLE bellwire.access_provisioning (
    name       text COLLATE "C" PRIMARY KEY,
    hash       bytea NOT NULL UNIQUE CHECK (length(hash) = 32),
    devices    text NOT NULL,           -- a pattern of device ids
    expires_at timestamptz NOT NULL,
    uses_max   int4 NOT NULL CHECK (uses_max > 0),
    uses       int4 NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    revoked_at timestamptz
);
