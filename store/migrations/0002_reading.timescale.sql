-- Readings on TimescaleDB: a hypertable of daily chunks without its default index, which would
-- cost three times the COPY. The extension itself was created before, in a session of its own.
CREATE TABLE bellwire.reading (
    at        timestamptz NOT NULL,
    device_id int4 NOT NULL,
    metric_id int4 NOT NULL,
    value     float8,
    text      text
);

-- By named arguments and with the column's name: the form that every release from 2.0 on knows.
SELECT create_hypertable(
    'bellwire.reading', 'at',
    chunk_time_interval => interval '1 day',
    create_default_indexes => false);

CREATE VIEW public.readings AS
    SELECT r.at, d.name AS device, m.name AS metric, r.value, r.text
    FROM bellwire.reading r
    JOIN bellwire.device d ON d.id = r.device_id
    JOIN bellwire.metric m ON m.id = r.metric_id;
