-- Readings on plain PostgreSQL: one partition per UTC day, made by the writer when a day's first
-- reading comes. No index: it would cost three times the COPY.
CREATE TABLE bellwire.reading (
    at        timestamptz NOT NULL,
    device_id int4 NOT NULL,
    metric_id int4 NOT NULL,
    value     float8,
    text      text
) PARTITION BY RANGE (at);

-- Days that were more than 90 days past when this schema was made share one partition: replayed
-- history and devices with a dead clock must not make thousands of tables. The border is fixed, so
-- where a day belongs never changes, and no row ever has to move. There is no DEFAULT partition:
-- attaching a day would have to lock and scan it.
CREATE TABLE bellwire.reading_past_until (at timestamptz NOT NULL);

DO $$
DECLARE
    border timestamptz := (date_trunc('day', now() AT TIME ZONE 'UTC') - interval '90 days')
        AT TIME ZONE 'UTC';
BEGIN
    INSERT INTO bellwire.reading_past_until (at) VALUES (border);
    EXECUTE format(
        'CREATE TABLE bellwire.reading_past PARTITION OF bellwire.reading '
        'FOR VALUES FROM (MINVALUE) TO (%L)', border);
END $$;

-- The partition of each of these days (their first instants, UTC), made if it is missing.
-- CREATE + ATTACH rather than PARTITION OF: that would wait for every running query on `readings`,
-- and make new ones wait behind it.
CREATE FUNCTION bellwire.ensure_reading_days(days timestamptz[])
RETURNS TABLE (day timestamptz, partition text)
LANGUAGE plpgsql AS $$
DECLARE
    past_until timestamptz := (SELECT p.at FROM bellwire.reading_past_until p);
BEGIN
    FOREACH day IN ARRAY days LOOP
        IF day < past_until THEN
            partition := 'reading_past';
        ELSE
            partition := 'reading_' || to_char(day AT TIME ZONE 'UTC', 'YYYYMMDD');
            IF to_regclass('bellwire.' || partition) IS NULL THEN
                PERFORM pg_advisory_xact_lock(hashtext('bellwire.ensure_reading_days'));
                IF to_regclass('bellwire.' || partition) IS NULL THEN
                    EXECUTE format(
                        'CREATE TABLE bellwire.%I (LIKE bellwire.reading INCLUDING ALL)', partition);
                    EXECUTE format(
                        'ALTER TABLE bellwire.reading ATTACH PARTITION bellwire.%I '
                        'FOR VALUES FROM (%L) TO (%L)', partition, day, day + interval '24 hours');
                END IF;
            END IF;
        END IF;
        RETURN NEXT;
    END LOOP;
END $$;

CREATE VIEW public.readings AS
    SELECT r.at, d.name AS device, m.name AS metric, r.value, r.text
    FROM bellwire.reading r
    JOIN bellwire.device d ON d.id = r.device_id
    JOIN bellwire.metric m ON m.id = r.metric_id;
