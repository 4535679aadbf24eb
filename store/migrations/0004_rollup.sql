-- What minutes, hours and days of numbers come to: kept by the compactor in the transaction that
-- carries the readings over, so that they are never behind `reading`, whatever came late. Why not
-- TimescaleDB's continuous aggregates: docs/decisions/0025.
CREATE TABLE bellwire.reading_1m (
    bucket    timestamptz NOT NULL,     -- its first instant, UTC
    device_id int4 NOT NULL,            -- 0: all devices together
    metric_id int4 NOT NULL,
    count     int8 NOT NULL,
    sum       float8 NOT NULL,
    min       float8 NOT NULL,
    max       float8 NOT NULL,
    first_at  timestamptz NOT NULL,
    first     float8 NOT NULL,          -- of several at `first_at` the least
    last_at   timestamptz NOT NULL,
    last      float8 NOT NULL,          -- of several at `last_at` the greatest
    PRIMARY KEY (device_id, metric_id, bucket)
) WITH (fillfactor = 80);
CREATE TABLE bellwire.reading_1h (LIKE bellwire.reading_1m INCLUDING ALL) WITH (fillfactor = 50);
CREATE TABLE bellwire.reading_1d (LIKE bellwire.reading_1m INCLUDING ALL) WITH (fillfactor = 50);

-- What is there already. Two numbers near the greatest float8 cannot be added: what is greater than 1e290
-- is summed for itself, scaled, and infinite if it is beyond the range.
CREATE FUNCTION pg_temp.total(small float8, scaled float8) RETURNS float8 LANGUAGE sql AS $$
    SELECT CASE WHEN scaled IS NULL THEN coalesce(small, 0)
                WHEN abs(scaled) < 8.98e307 / 2::float8 ^ 64
                THEN coalesce(small, 0) + scaled * 2::float8 ^ 64
                ELSE sign(scaled) * 'Infinity'::float8 END
$$;
INSERT INTO bellwire.reading_1m
    SELECT date_bin('1 minute', at, 'epoch'), coalesce(device_id, 0), metric_id, count(*),
           pg_temp.total(sum(value) FILTER (WHERE abs(value) <= 1e290),
                         sum(value / 2::float8 ^ 64) FILTER (WHERE abs(value) > 1e290)),
           min(value), max(value),
           min(at), (array_agg(value ORDER BY at, value))[1],
           max(at), (array_agg(value ORDER BY at DESC, value DESC))[1]
    FROM bellwire.reading WHERE value IS NOT NULL
    GROUP BY GROUPING SETS ((1, device_id, metric_id), (1, metric_id));
INSERT INTO bellwire.reading_1h
    SELECT date_bin('1 hour', bucket, 'epoch'), device_id, metric_id, sum(count),
           pg_temp.total(sum(sum) FILTER (WHERE abs(sum) <= 1e290),
                         sum(sum / 2::float8 ^ 64) FILTER (WHERE abs(sum) > 1e290)), min(min), max(max),
           min(first_at), (array_agg(first ORDER BY first_at, first))[1],
           max(last_at), (array_agg(last ORDER BY last_at DESC, last DESC))[1]
    FROM bellwire.reading_1m GROUP BY 1, device_id, metric_id;
INSERT INTO bellwire.reading_1d
    SELECT date_bin('1 day', bucket, 'epoch'), device_id, metric_id, sum(count),
           pg_temp.total(sum(sum) FILTER (WHERE abs(sum) <= 1e290),
                         sum(sum / 2::float8 ^ 64) FILTER (WHERE abs(sum) > 1e290)), min(min), max(max),
           min(first_at), (array_agg(first ORDER BY first_at, first))[1],
           max(last_at), (array_agg(last ORDER BY last_at DESC, last DESC))[1]
    FROM bellwire.reading_1h GROUP BY 1, device_id, metric_id;

-- For charts and analysts; as far as the readings have been carried over.
CREATE VIEW public.readings_1m AS
    SELECT r.bucket AS at, d.name AS device, m.name AS metric, r.sum / r.count AS avg, r.min, r.max,
           r.count, r.first, r.last
    FROM bellwire.reading_1m r
    JOIN bellwire.device d ON d.id = r.device_id
    JOIN bellwire.metric m ON m.id = r.metric_id;
CREATE VIEW public.readings_1h AS
    SELECT r.bucket AS at, d.name AS device, m.name AS metric, r.sum / r.count AS avg, r.min, r.max,
           r.count, r.first, r.last
    FROM bellwire.reading_1h r
    JOIN bellwire.device d ON d.id = r.device_id
    JOIN bellwire.metric m ON m.id = r.metric_id;
CREATE VIEW public.readings_1d AS
    SELECT r.bucket AS at, d.name AS device, m.name AS metric, r.sum / r.count AS avg, r.min, r.max,
           r.count, r.first, r.last
    FROM bellwire.reading_1d r
    JOIN bellwire.device d ON d.id = r.device_id
    JOIN bellwire.metric m ON m.id = r.metric_id;
