-- What people and programs did to the service, a row for each deed. `before` and `after` are of type json:
-- unlike jsonb it takes every text that JSON can write.
CREATE TABLE bellwire.audit_entry (
    log_id      int4 NOT NULL REFERENCES bellwire.log_position (id),
    position    int8 NOT NULL,
    received_at timestamptz NOT NULL,
    who         text NOT NULL,
    via         text NOT NULL,      -- session, token, nothing
    address     inet,
    request     text,
    action      text NOT NULL,
    target      text NOT NULL,
    outcome     text NOT NULL,      -- done, refused, unknown
    status      int4 NOT NULL,
    before      json,
    after       json,
    PRIMARY KEY (log_id, position)
);
CREATE INDEX audit_newest ON bellwire.audit_entry (received_at, position);

CREATE VIEW public.audit_log AS
    SELECT received_at AS at, who, via, address, request, action, target, outcome, status, before, after
    FROM bellwire.audit_entry;
