-- What the service leaves in the database beside readings, for the dashboards' tests: accounts, presence,
-- labels, alerts in every state, what was done with them, silences, quarantine, commands.

UPDATE bellwire.device SET
    online = CASE WHEN id % 4 = 0 THEN NULL ELSE id % 5 <> 0 END,
    labels = CASE WHEN id % 6 = 0 THEN '{}'
                  ELSE jsonb_build_object('site', (ARRAY['berlin', 'paris', 'oslo'])[1 + id % 3], 'kind', 'freezer') END;

INSERT INTO bellwire.device_state
    (log_id, device_id, first_seen, last_seen, received, stored, duplicate, quarantined, refused, readings,
     seq_last, seq_gaps, seq_resets)
SELECT (SELECT max(id) FROM bellwire.log_position), id, now() - id * interval '2 hours',
       now() - CASE WHEN name = 'freezer-12' THEN interval '2 hours' ELSE interval '10 seconds' END,
       545, 540, 3, 1, 1, 1626, 545, CASE WHEN id = 3 THEN '{17,19,40,40}'::int8[] ELSE '{}' END, 0
FROM bellwire.device;

INSERT INTO bellwire.unit (device_id, metric_id, unit)
SELECT d.id, m.id, '°C' FROM bellwire.device d, bellwire.metric m WHERE m.name = 'temperature';

-- One alert an hour of the last six days, of two rules; most are over, and somebody had most of them.
INSERT INTO bellwire.alert
    (id, rule, device, severity, state, since, fired_at, resolved_at, value, summary, acknowledged_by,
     acknowledged_at, assigned_to, latched)
SELECT 'past-' || n, CASE WHEN n % 3 = 0 THEN 'door-open' ELSE 'freezer-too-warm' END,
       'freezer-' || to_char(1 + n % 9, 'FM00'), CASE n % 3 WHEN 0 THEN 'info' WHEN 1 THEN 'warning' ELSE 'critical' END,
       'resolved', at, at + interval '2 minutes', at + (4 + n * 53 % 40) * interval '1 minute', -9.5,
       'freezer is at -9.5 °C', CASE WHEN n % 5 > 0 THEN 'ada' END,
       CASE WHEN n % 5 > 0 THEN at + (3 + n * 37 % 11) * interval '1 minute' END,
       CASE WHEN n % 7 = 0 THEN 'bo' END, n % 5 = 0
FROM generate_series(1, 144) n, LATERAL (SELECT now() - n * interval '1 hour') AS t (at);

-- What fires now: muted, acknowledged, and neither; and one that is not sure yet.
INSERT INTO bellwire.alert
    (id, rule, device, severity, state, since, fired_at, value, summary, acknowledged_by, acknowledged_at, silenced_by)
VALUES
    ('now-1', 'freezer-too-warm', 'freezer-03', 'critical', 'firing', now() - interval '14 minutes',
     now() - interval '12 minutes', -6.2, 'freezer-03 is at -6.2 °C', NULL, NULL, NULL),
    ('now-2', 'door-open', 'freezer-05', 'warning', 'recovering', now() - interval '9 minutes',
     now() - interval '9 minutes', 1, 'The door of freezer-05 is open', 'ada', now() - interval '4 minutes', NULL),
    ('now-3', 'freezer-silent', 'freezer-12', 'warning', 'no_data', now() - interval '100 minutes',
     now() - interval '100 minutes', NULL, 'freezer-12 says nothing', NULL, NULL, '0a'),
    ('now-4', 'door-open', 'freezer-07', 'info', 'pending', now() - interval '20 seconds', NULL, 1,
     'The door of freezer-07 is open', NULL, NULL, NULL);

INSERT INTO bellwire.transition
    (log_id, position, ordinal, at, received_at, alert_id, rule, device, severity, from_state, to_state, since,
     fired_at, value, summary, rule_version, reason, step, step_by, step_text)
VALUES
    (1, 10, 0, now() - interval '12 minutes', now() - interval '12 minutes', 'now-1', 'freezer-too-warm', 'freezer-03',
     'critical', 'pending', 'firing', now() - interval '14 minutes', now() - interval '12 minutes', -6.2,
     'freezer-03 is at -6.2 °C', 1, 'temperature > -15 held for 2m', NULL, NULL, NULL),
    (1, 20, 0, now() - interval '5 minutes', now() - interval '5 minutes', 'now-1', 'freezer-too-warm', 'freezer-03',
     'critical', 'firing', 'firing', now() - interval '14 minutes', now() - interval '12 minutes', -6.2,
     'freezer-03 is at -6.2 °C', 1, '', 'commented', 'bo', 'the compressor is loud'),
    (1, 30, 0, now() - interval '4 minutes', now() - interval '4 minutes', 'now-2', 'door-open', 'freezer-05',
     'warning', 'recovering', 'recovering', now() - interval '9 minutes', now() - interval '9 minutes', 1,
     'The door of freezer-05 is open', 1, '', 'acknowledged', 'ada', NULL);

INSERT INTO bellwire.silence (id, version, matchers, starts_at, ends_at, author, reason, created_at, updated_at)
VALUES ('0a', 1, 'rule="freezer-silent"', now() - interval '1 hour', now() + interval '1 hour', 'ada', 'it is being mended',
        now(), now());

INSERT INTO bellwire.quarantine (log_id, position, ordinal, received_at, device, topic, payload, reason, detail)
VALUES (1, 40, 0, now() - interval '3 minutes', 'freezer-03', 'devices/freezer-03/telemetry', '{', 'bad_json', 'ends at byte 1'),
       (1, 50, 0, now() - interval '2 minutes', NULL, 'zigbee2mqtt/cold', '?', 'bad_json', 'begins with ?');

INSERT INTO bellwire.command (id, device, state, payload, reply, author, created_at, expires_at, sent_at, acknowledged_at, ended_at, sendings)
VALUES ('c-1', 'freezer-03', 'acknowledged', 'defrost', 'none', 'ada', now() - interval '20 minutes', now() + interval '1 hour',
        now() - interval '20 minutes', now() - interval '19 minutes', now() - interval '19 minutes', 1);
