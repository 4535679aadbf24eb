-- In which unit a device measures something, as its payloads say; the last word counts.
CREATE TABLE bellwire.unit (
    device_id int4 NOT NULL,
    metric_id int4 NOT NULL,
    unit      text NOT NULL,
    PRIMARY KEY (device_id, metric_id)
);

CREATE VIEW public.units AS
    SELECT d.name AS device, m.name AS metric, u.unit
    FROM bellwire.unit u
    JOIN bellwire.device d ON d.id = u.device_id
    JOIN bellwire.metric m ON m.id = u.metric_id;
