import { expect, test } from "vitest";

import { advice, certificates } from "./advice";
import { formatBytes, latencies, Looks, type Readiness, stages, wants } from "./health";
import { parseMetrics } from "./metrics";

const FINE: Readiness = {
  status: "ok",
  version: "1",
  database: { mode: "plain", postgresql: "17.2 (Debian)", timescaledb: null, schema: 15 },
  checks: [
    { name: "log", status: "ok", detail: "it has room" },
    { name: "database", status: "ok", detail: "PostgreSQL 17.2, plain" },
  ],
};
const AWAY: Readiness = {
  ...FINE,
  status: "degraded",
  checks: [FINE.checks[0]!, { name: "database", status: "degraded", detail: "it is away (refused): readings wait" }],
};

const look = (at: number, text: string) => ({ at, metrics: parseMetrics(text, wants) });
const BEFORE = look(0, 'bellwire_mqtt_publishes_received_total{kind="telemetry"} 100\nbellwire_keep_lag_bytes 0\n');
const AFTER = look(
  4000,
  `bellwire_mqtt_publishes_received_total{kind="telemetry"} 180
bellwire_mqtt_connections 1200
bellwire_keep_lag_bytes 9000000
bellwire_log_bytes 1500000
bellwire_log_bytes_max 34000000000
bellwire_stored_latency_seconds_bucket{le="0.1"} 10
bellwire_stored_latency_seconds_bucket{le="+Inf"} 10
bellwire_http_requests_total{route="x"} 1
bellwire_https_certificate_expires_timestamp_seconds 1000000
`,
);
const looks = new Looks(BEFORE, AFTER);
const of = (ready: Readiness, id: string) => stages(ready, looks, [])?.find((stage) => stage.id === id);

test("only what the page shows is read", () => {
  expect(AFTER.metrics.has("bellwire_http_requests_total")).toBe(false);
  expect(wants("bellwire_commands_open")).toBe(false);
});

test("a stage has its rate, and what waits", () => {
  expect(of(FINE, "listener")?.figures).toEqual([
    { label: "connections", value: "1,200" },
    { label: "publishes", value: "20/s" },
  ]);
  expect(of(FINE, "log")?.figures).toContainEqual({ label: "on disk", value: "1.5 MB of 34 GB" });
  expect(of(FINE, "keep")).toMatchObject({ level: "warn", word: "behind" });
  expect(of(FINE, "database")?.does).toBe("PostgreSQL 17.2, plain, schema 15.");
  expect(of(FINE, "channels")).toMatchObject({ level: "off", word: "none" });
  expect(of(AWAY, "database")).toMatchObject({ level: "bad", word: "away" });
  expect(of(AWAY, "keep")).toMatchObject({ level: "warn", word: "waits" });
});

test("latencies are of what is new, else of all", () => {
  const stored = latencies(looks).find(({ id }) => id.startsWith("stored"));
  expect(stored).toMatchObject({ p50: 50, p99: 99, isNew: true });
  expect(latencies(new Looks(AFTER, { ...AFTER, at: 8000 })).at(-1)).toMatchObject({ p50: 50, isNew: false });
  expect(latencies(new Looks(null, BEFORE)).at(-1)).toMatchObject({ p50: null, isNew: false });
});

test("what is wrong is said with what to do", () => {
  const now = 1_000_000_000 - 3 * 86_400_000;
  const [database, certificate] = advice(AWAY, looks, now);
  expect(database?.what).toBe("The database does not answer: refused.");
  expect(database?.todo).toContain("9.0 MB");
  expect(certificate).toMatchObject({ level: "warn", what: "The HTTPS certificate ends in 3 d 0 h." });
  expect(advice(FINE, looks, 1_000_000_001_000).map(({ level }) => level)).toEqual(["warn", "bad"]);
  expect(advice(FINE, null, now)).toEqual([]);
  expect(certificates(AFTER.metrics)).toEqual([{ door: "HTTPS", ends: 1_000_000_000 }]);
});

test("bytes are read at a glance", () => {
  expect([0, 999, 1000, 12_345, 1.5e9, 9e13].map(formatBytes)).toEqual(["0 B", "999 B", "1.0 kB", "12 kB", "1.5 GB", "90 TB"]);
});
