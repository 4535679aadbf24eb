-- Commands to devices, each as it stands after its latest change.
CREATE TABLE bellwire.command (
    id              text COLLATE "C" PRIMARY KEY,
    device          text COLLATE "C" NOT NULL,
    state           text NOT NULL,
    payload         bytea NOT NULL,
    content_type    text,
    reply           text NOT NULL,      -- expected, none
    author          text,
    key             text,               -- how whoever asked calls the request
    created_at      timestamptz NOT NULL,
    expires_at      timestamptz NOT NULL,
    sent_at         timestamptz,
    acknowledged_at timestamptz,
    ended_at        timestamptz,        -- open until then
    answered_at     timestamptz,
    answer          bytea,
    sendings        int8 NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX command_newest ON bellwire.command (device, created_at, id);
CREATE INDEX command_ended ON bellwire.command (ended_at) WHERE ended_at IS NOT NULL;

CREATE VIEW public.commands AS
    SELECT id, device, state, payload, content_type, reply, author, created_at, expires_at, sent_at,
           acknowledged_at, ended_at, answered_at, answer, sendings
    FROM bellwire.command;
