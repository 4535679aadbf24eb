-- What a late reading changed of what was said: 'retroactive' for a step that came to light late,
-- 'withdrawn' for the step back over one that was not so; NULL for what was said in its turn.
ALTER TABLE bellwire.transition ADD COLUMN correction text;

CREATE OR REPLACE VIEW public.alert_transitions AS
    SELECT at, alert_id, rule, device, from_state, to_state, value, reason, correction
    FROM bellwire.transition;
