import { describe, expect, it } from "vitest";

import {
  parseAlert,
  parseDevice,
  parseEvent,
  parseFrame,
  parseHealth,
  parseLedger,
  parseReading,
  parseTime,
} from "./parse";

describe("times", () => {
  it("keep their microseconds", () => {
    const at = parseTime("2026-02-03T14:03:22.125250Z") ?? 0;
    expect(at).toBeCloseTo(Date.UTC(2026, 1, 3, 14, 3, 22, 125) + 0.25, 3);
  });

  it("may have any offset and any number of digits", () => {
    const at = Date.UTC(2026, 1, 3, 14, 3, 22);
    expect(parseTime("2026-02-03T15:03:22+01:00")).toBe(at);
    expect(parseTime("2026-02-03T14:03:22.5Z")).toBe(at + 500);
    expect(parseTime("2026-02-03T14:03:22.0001Z")).toBeCloseTo(at + 0.1, 3);
  });

  it("are null when they are none", () => {
    expect([parseTime("soon"), parseTime(5), parseTime(null)]).toEqual([null, null, null]);
  });
});

describe("shapes", () => {
  const since = "2026-02-03T14:03:22Z";

  it("an alert without its optional parts is an alert", () => {
    const json = { id: "1", rule: "r", device: "d", severity: "info", state: "no_data", since };
    expect(parseAlert(json)).toMatchObject({ state: "no_data", value: null, silenced: false });
  });

  it("an alert with an unknown state or severity is none", () => {
    const json = { id: "1", rule: "r", device: "d", severity: "info", state: "firing", since };
    expect(parseAlert({ ...json, state: "toString" })).toBe(null);
    expect(parseAlert({ ...json, severity: "fatal" })).toBe(null);
    expect(parseAlert({ ...json, device: { html: "<b>" } })).toBe(null);
  });

  it("a reading is a number or a text", () => {
    const base = { metric: "m", at: since };
    expect(parseReading({ ...base, value: 0 })?.value).toBe(0);
    expect(parseReading({ ...base, text: "on" })?.value).toBe("on");
    expect(parseReading(base)).toBe(null);
  });

  it("labels that are not text are left out, the others ordered", () => {
    const device = parseDevice({ device: "d", labels: { site: "b", kind: "a", odd: 1 } });
    expect(device?.labels).toEqual([
      ["kind", "a"],
      ["site", "b"],
    ]);
  });

  it("a device's clock is off by a number or not known", () => {
    expect(parseDevice({ device: "d", clock_skew_ms: -1500 })?.clock_skew_ms).toBe(-1500);
    expect(parseDevice({ device: "d", clock_skew_ms: "x" })?.clock_skew_ms).toBe(null);
    expect(parseDevice({ device: "d" })?.clock_skew_ms).toBe(null);
  });

  it("health tells what is not well", () => {
    const checks = [
      { name: "log", status: "ok", detail: "" },
      { name: "database", status: "degraded", detail: "away" },
    ];
    expect(parseHealth({ status: "degraded", checks })).toEqual({
      status: "degraded",
      faults: [{ name: "database", detail: "away" }],
    });
    expect(parseHealth({ status: "fine" })).toBe(null);
  });

  it("a ledger has its gaps as ranges", () => {
    const ledger = parseLedger({ received: 7, seq: { last: 9, gaps: [[1, 2], "x"], resets: 0 } });
    expect(ledger?.seq).toEqual({ last: 9, gaps: [[1, 2]], resets: 0 });
    expect(ledger?.stored).toBe(0);
  });

  it("a step is told whole, with what is known of its way", () => {
    const alert = { id: "1", rule: "r", device: "d", severity: "info", state: "firing", since, labels: { b: "2", a: 1 } };
    const times = { received: since, durable: null, judged: null, sent: since };
    const step = { type: "step", cursor: "c", alert, step: "commented", by: "ada", text: "hm", at: since, reason: "", times };
    const frame = parseFrame(JSON.stringify(step));
    expect(frame).toMatchObject({ type: "step", times: null, event: { step: "commented", by: "ada", to: null, times: { judged: null } } });
    expect(parseEvent({ ...step, at: "soon" })).toBeNull();
    expect(parseAlert(alert)?.labels).toEqual({ b: "2" });
  });

  it("who is there, and what may not be seen any more, are frames", () => {
    const here = [{ name: "ada", since, n: 2 }, { name: 5 }];
    expect(parseFrame(JSON.stringify({ type: "operators", here }))).toMatchObject({ here: [{ name: "ada", n: 2 }] });
    expect(parseFrame(JSON.stringify({ type: "gone", cursor: "c", id: "1" }))).toEqual({ type: "gone", cursor: "c", id: "1" });
    expect(parseFrame(JSON.stringify({ type: "gone", id: "1" }))).toBeNull();
  });

  it("a snapshot leaves out the alerts it cannot read", () => {
    const good = { id: "1", rule: "r", device: "d", severity: "info", state: "firing", since };
    const frame = parseFrame(JSON.stringify({ type: "snapshot", cursor: "c", alerts: [good, 5] }));
    expect(frame?.type === "snapshot" && frame.alerts.length).toBe(1);
  });
});
