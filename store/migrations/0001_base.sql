-- Everything but the readings. Rooms and people use the views in `public`; these tables are ours.

-- Where each log has been taken into the database, and who may write (the newest epoch).
CREATE TABLE bellwire.log_position (
    log             text COLLATE "C" PRIMARY KEY,
    id              int4 GENERATED ALWAYS AS IDENTITY UNIQUE,
    epoch           int8 NOT NULL,
    position        int8 NOT NULL,
    ledger_position int8 NOT NULL,
    opened_at       timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

-- Dictionaries: a reading carries two small numbers, not two texts. Rows are never deleted.
CREATE TABLE bellwire.device (
    id     int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name   text COLLATE "C" NOT NULL UNIQUE,
    online boolean,
    labels jsonb NOT NULL DEFAULT '{}'
);

CREATE TABLE bellwire.metric (
    id   int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE
);

-- The account of each device's publishes in one log; replaced whole by each flush.
-- No foreign keys here and below: one writer, fenced by the epoch, writes them all.
CREATE TABLE bellwire.device_state (
    log_id      int4 NOT NULL,
    device_id   int4 NOT NULL,
    first_seen  timestamptz NOT NULL,
    last_seen   timestamptz NOT NULL,
    received    int8 NOT NULL,
    stored      int8 NOT NULL,
    duplicate   int8 NOT NULL,
    quarantined int8 NOT NULL,
    refused     int8 NOT NULL,
    readings    int8 NOT NULL,
    seq_last    int8,
    seq_gaps    int8[] NOT NULL,    -- from, to, from, to, …
    seq_resets  int8 NOT NULL,
    PRIMARY KEY (device_id, log_id)
) WITH (fillfactor = 70);

-- Payloads that could not be read, as they came.
CREATE TABLE bellwire.quarantine (
    log_id      int4 NOT NULL,
    position    int8 NOT NULL,
    ordinal     int4 NOT NULL,
    received_at timestamptz NOT NULL,
    device      text COLLATE "C",
    topic       text NOT NULL,
    payload     bytea NOT NULL,
    reason      text NOT NULL,
    detail      text NOT NULL,
    PRIMARY KEY (log_id, position, ordinal)
);
CREATE INDEX quarantine_newest ON bellwire.quarantine (received_at, log_id, position, ordinal);
CREATE INDEX quarantine_device ON bellwire.quarantine (device, received_at)
    WHERE device IS NOT NULL;

-- What the rules said, append-only, in log order.
CREATE TABLE bellwire.transition (
    log_id       int4 NOT NULL,
    position     int8 NOT NULL,
    ordinal      int4 NOT NULL,
    at           timestamptz NOT NULL,
    received_at  timestamptz NOT NULL,
    alert_id     text COLLATE "C" NOT NULL,
    rule         text NOT NULL,
    device       text COLLATE "C" NOT NULL,
    severity     text NOT NULL,
    from_state   text NOT NULL,
    to_state     text NOT NULL,
    since        timestamptz NOT NULL,
    fired_at     timestamptz,
    resolved_at  timestamptz,
    value        float8,
    summary      text NOT NULL,
    rule_version int8 NOT NULL,     -- the bits of an unsigned hash
    reason       text NOT NULL,
    PRIMARY KEY (log_id, position, ordinal)
);
CREATE INDEX transition_alert ON bellwire.transition (alert_id);
CREATE INDEX transition_at ON bellwire.transition (at);

-- Each alert after its latest transition.
CREATE TABLE bellwire.alert (
    id          text COLLATE "C" PRIMARY KEY,
    rule        text NOT NULL,
    device      text COLLATE "C" NOT NULL,
    severity    text NOT NULL,
    state       text NOT NULL,
    since       timestamptz NOT NULL,
    fired_at    timestamptz,
    resolved_at timestamptz,
    value       float8,
    summary     text NOT NULL
);
CREATE INDEX alert_newest ON bellwire.alert (since, id);
CREATE INDEX alert_open ON bellwire.alert (since, id)
    WHERE state NOT IN ('inactive', 'resolved');

CREATE VIEW public.alerts AS
    SELECT id, rule, device, severity, state, since, fired_at, resolved_at, value, summary
    FROM bellwire.alert;

CREATE VIEW public.alert_transitions AS
    SELECT at, alert_id, rule, device, from_state, to_state, value, reason
    FROM bellwire.transition;

CREATE VIEW public.devices AS
    SELECT d.name AS device, s.first_seen, s.last_seen, d.online, d.labels
    FROM bellwire.device d
    LEFT JOIN LATERAL (
        SELECT min(first_seen) AS first_seen, max(last_seen) AS last_seen
        FROM bellwire.device_state WHERE device_id = d.id
    ) s ON true;
