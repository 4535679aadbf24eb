-- Whether a transition is of what was measured long before it was received: recorded, never sent.
ALTER TABLE bellwire.transition ADD COLUMN historical boolean NOT NULL DEFAULT false;

CREATE OR REPLACE VIEW public.alert_transitions AS
    SELECT at, alert_id, rule, device, from_state, to_state, value, reason, correction, historical
    FROM bellwire.transition;
