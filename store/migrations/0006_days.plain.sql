-- Two sessions that made the same day's partition at once: the second waited for the first, did not
-- see what that had made, and failed. A lock on the table, unlike an advisory one, makes a session
-- take notice of what others have committed (AcceptInvalidationMessages in LockRelationOid).
CREATE OR REPLACE FUNCTION bellwire.ensure_reading_days(days timestamptz[])
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
                -- ATTACH PARTITION takes the same.
                LOCK TABLE ONLY bellwire.reading IN SHARE UPDATE EXCLUSIVE MODE;
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
