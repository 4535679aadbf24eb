-- Readings come in as they are published, in small batches: device by device they lie scattered,
-- and an index that gathers them would cost the writer four times the COPY. So they wait, fresh,
-- in one of two tables without an index, and every minute or so the compactor carries them over
-- into `reading`, sorted, where a tiny BRIN finds a device's few pages.

CREATE TABLE bellwire.fresh_0 (
    at        timestamptz NOT NULL,
    device_id int4 NOT NULL,
    metric_id int4 NOT NULL,
    value     float8,
    text      text
) WITH (autovacuum_enabled = false);    -- nothing is ever deleted singly
CREATE TABLE bellwire.fresh_1 (LIKE bellwire.fresh_0) WITH (autovacuum_enabled = false);

-- Generations are numbered; generation n lies in fresh_(n mod 2). A statement sees in one snapshot
-- which generations are to be read here and what has been carried over.
CREATE TABLE bellwire.fresh_state (
    only_row       boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    open           int8 NOT NULL,       -- writers add to this one
    oldest         int8 NOT NULL,       -- the oldest that is not in `reading`: `open` or the one before
    closed_rows    int8 NOT NULL,       -- how many rows `oldest` has, if it is not `open`
    closed_logs    int4[] NOT NULL,     -- and of which logs
    spare_is_empty boolean NOT NULL,    -- whether the table that `open` does not use may become open
    carried_by     xid8,                -- the transaction that last carried one over
    CHECK (oldest IN (open, open - 1))
);
INSERT INTO bellwire.fresh_state (open, oldest, closed_rows, closed_logs, spare_is_empty)
    VALUES (0, 0, 0, '{}', true);

-- Where this log's writer adds, and how many rows of that generation are its own. It moves with
-- the position, so closing a generation waits for a batch under way and fences the next.
ALTER TABLE bellwire.log_position
    ADD COLUMN generation int8 NOT NULL DEFAULT 0,
    ADD COLUMN fresh_rows int8 NOT NULL DEFAULT 0;

-- A device's readings lie together in each carried-over run, so a summary of a few pages is enough.
CREATE INDEX reading_device ON bellwire.reading USING brin (device_id, at) WITH (pages_per_range = 4);

CREATE VIEW bellwire.reading_all AS
    SELECT at, device_id, metric_id, value, text FROM bellwire.reading
    UNION ALL
    SELECT at, device_id, metric_id, value, text FROM bellwire.fresh_0
    WHERE (SELECT open % 2 = 0 OR oldest % 2 = 0 FROM bellwire.fresh_state)
    UNION ALL
    SELECT at, device_id, metric_id, value, text FROM bellwire.fresh_1
    WHERE (SELECT open % 2 = 1 OR oldest % 2 = 1 FROM bellwire.fresh_state);

CREATE OR REPLACE VIEW public.readings AS
    SELECT r.at, d.name AS device, m.name AS metric, r.value, r.text
    FROM bellwire.reading_all r
    JOIN bellwire.device d ON d.id = r.device_id
    JOIN bellwire.metric m ON m.id = r.metric_id;
