-- What is said of devices beside their readings. `labels` is what counts of the two: the registry's, and
-- of those that it does not say the births'. Labels of the rules file are not in the database.
ALTER TABLE bellwire.device ADD COLUMN registered jsonb;
ALTER TABLE bellwire.device ADD COLUMN born jsonb NOT NULL DEFAULT '{}';

CREATE OR REPLACE VIEW public.devices AS
    SELECT d.name AS device, s.first_seen, s.last_seen, d.online, d.labels,
           d.labels ->> 'model' AS model, d.registered IS NOT NULL AS registered
    FROM bellwire.device d
    LEFT JOIN LATERAL (
        SELECT min(first_seen) AS first_seen, max(last_seen) AS last_seen
        FROM bellwire.device_state WHERE device_id = d.id
    ) s ON true;
