-- What dashboards ask for beside the views that there are: all devices together, accounts, what lies in
-- quarantine without its payloads, and where the space goes.

-- All devices together, as far as the readings have been carried over.
CREATE VIEW public.fleet_1m AS
    SELECT r.bucket AS at, m.name AS metric, r.sum / r.count AS avg, r.min, r.max, r.count, r.first, r.last
    FROM bellwire.reading_1m r JOIN bellwire.metric m ON m.id = r.metric_id
    WHERE r.device_id = 0;
CREATE VIEW public.fleet_1h AS
    SELECT r.bucket AS at, m.name AS metric, r.sum / r.count AS avg, r.min, r.max, r.count, r.first, r.last
    FROM bellwire.reading_1h r JOIN bellwire.metric m ON m.id = r.metric_id
    WHERE r.device_id = 0;
CREATE VIEW public.fleet_1d AS
    SELECT r.bucket AS at, m.name AS metric, r.sum / r.count AS avg, r.min, r.max, r.count, r.first, r.last
    FROM bellwire.reading_1d r JOIN bellwire.metric m ON m.id = r.metric_id
    WHERE r.device_id = 0;

-- What became of each device's publishes, in all logs; a few seconds behind.
CREATE VIEW public.accounts AS
    SELECT d.name AS device, sum(s.received)::int8 AS received, sum(s.stored)::int8 AS stored,
           sum(s.duplicate)::int8 AS duplicate, sum(s.quarantined)::int8 AS quarantined,
           sum(s.refused)::int8 AS refused, sum(s.readings)::int8 AS readings,
           sum(cardinality(s.seq_gaps) / 2)::int8 AS seq_gaps, sum(s.seq_resets)::int8 AS seq_resets
    FROM bellwire.device_state s JOIN bellwire.device d ON d.id = s.device_id
    GROUP BY d.name;

CREATE VIEW public.quarantined AS
    SELECT received_at AS at, device, topic, reason, detail, octet_length(payload) AS bytes
    FROM bellwire.quarantine;

-- Bytes on disk, indexes included. TimescaleDB's chunks are told by their schema alone: a view that depends on
-- its catalogue would be in the way of its updates.
CREATE VIEW public.storage AS
    WITH ours AS (
        SELECT CASE
                   WHEN n.nspname <> 'bellwire' OR c.relname ~ '^reading(_past|_[0-9]{8})?$' THEN 'readings'
                   WHEN c.relname ~ '^fresh_[01]$' THEN 'fresh readings'
                   WHEN c.relname ~ '^reading_1[mhd]$' THEN 'minutes, hours and days'
                   WHEN c.relname IN ('alert', 'transition', 'silence') THEN 'alerts'
                   WHEN c.relname = 'quarantine' THEN 'quarantine'
                   WHEN c.relname = 'audit_entry' THEN 'audit log'
                   ELSE 'devices and the rest'
               END AS part,
               pg_total_relation_size(c.oid) AS bytes
        FROM pg_class c
        JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind = 'r' AND n.nspname IN ('bellwire', '_timescaledb_internal')
    ), known AS (
        -- Our one row is looked at so that this is a view over our tables, which readers are given.
        SELECT sum(bytes)::int8 AS bytes FROM ours WHERE EXISTS (SELECT FROM bellwire.fresh_state)
    )
    SELECT part, sum(bytes)::int8 AS bytes FROM ours GROUP BY part
    UNION ALL
    SELECT 'catalogue', pg_database_size(current_database()) - bytes FROM known;
