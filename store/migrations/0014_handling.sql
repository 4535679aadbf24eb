-- How alerts are handled, of each alert as it stands and as it stood after each transition; and the steps in
-- that, which are transitions within a state: what was done, by whom (NULL: the service), and what he said.
ALTER TABLE bellwire.alert
    ADD COLUMN labels          jsonb,
    ADD COLUMN acknowledged_by text,
    ADD COLUMN acknowledged_at timestamptz,
    ADD COLUMN assigned_to     text,
    ADD COLUMN snoozed_until   timestamptz,
    ADD COLUMN latched         boolean NOT NULL DEFAULT false,
    ADD COLUMN silenced_by     text,       -- ids of silences, with commas
    ADD COLUMN inhibited_by    text,       -- an alert's id
    ADD COLUMN escalation      int2 NOT NULL DEFAULT 0;
ALTER TABLE bellwire.transition
    ADD COLUMN labels          jsonb,
    ADD COLUMN acknowledged_by text,
    ADD COLUMN acknowledged_at timestamptz,
    ADD COLUMN assigned_to     text,
    ADD COLUMN snoozed_until   timestamptz,
    ADD COLUMN latched         boolean NOT NULL DEFAULT false,
    ADD COLUMN silenced_by     text,
    ADD COLUMN inhibited_by    text,
    ADD COLUMN escalation      int2 NOT NULL DEFAULT 0,
    ADD COLUMN step            text,       -- NULL: the rule's own transition
    ADD COLUMN step_by         text,
    ADD COLUMN step_text       text;

-- Silences, each as it stands after its latest change.
CREATE TABLE bellwire.silence (
    id         text COLLATE "C" PRIMARY KEY,
    version    int4 NOT NULL,
    matchers   text NOT NULL,
    starts_at  timestamptz NOT NULL,
    ends_at    timestamptz NOT NULL,
    schedule   text,                       -- only at these hours
    time_zone  text,
    author     text NOT NULL,
    reason     text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
) WITH (fillfactor = 70);

CREATE OR REPLACE VIEW public.alerts AS
    SELECT id, rule, device, severity, state, since, fired_at, resolved_at, value, summary,
           acknowledged_by, acknowledged_at, assigned_to, snoozed_until, latched,
           silenced_by IS NOT NULL AS silenced, inhibited_by IS NOT NULL AS inhibited, escalation,
           labels
    FROM bellwire.alert;

CREATE OR REPLACE VIEW public.alert_transitions AS
    SELECT at, alert_id, rule, device, from_state, to_state, value, reason, correction, historical
    FROM bellwire.transition WHERE step IS NULL;

CREATE VIEW public.alert_steps AS
    SELECT at, alert_id, rule, device, severity, to_state AS state, step, step_by AS by,
           step_text AS text
    FROM bellwire.transition WHERE step IS NOT NULL;

CREATE VIEW public.silences AS
    SELECT id, version, matchers, starts_at, ends_at, schedule, time_zone, author, reason, created_at,
           updated_at
    FROM bellwire.silence;
