import { describe, expect, it } from "vitest";

import { againOf, answerOf, payloadFault } from "./asking";
import { padded, timeTicks, valueTicks } from "./axes";
import { episodesOf, holding } from "./episodes";
import { type Columns, nearest } from "./series";
import { bucketFor, lengthOf, shifted } from "./span";
import { alert as plain } from "./testing";
import type { Alert } from "./words";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

describe("a stretch of time", () => {
  it("is drawn by readings, or by buckets of which there are not more than dots", () => {
    expect(bucketFor(15 * MINUTE)).toBe(null);
    expect(bucketFor(HOUR)?.name).toBe("10s");
    expect(bucketFor(DAY)?.name).toBe("5m");
    expect(bucketFor(30 * DAY)?.name).toBe("1h");
    for (let length = 21 * MINUTE; length < 3000 * DAY; length *= 1.7) {
      expect(length / (bucketFor(length)?.length_ms ?? 0)).toBeLessThanOrEqual(720);
    }
  });

  it("moves and zooms around its middle, and not beyond now", () => {
    const now = Date.UTC(2026, 0, 2);
    const span = { from: now - 3 * HOUR, to: now - 2 * HOUR };
    expect(shifted(span, { move: -0.5 }, now)).toEqual({ from: now - 3.5 * HOUR, to: now - 2.5 * HOUR });
    expect(shifted(span, { zoom: 0.5 }, now)).toEqual({ from: now - 2.75 * HOUR, to: now - 2.25 * HOUR });
    expect(shifted(span, { move: 9 }, now)).toEqual({ from: now - HOUR, to: now });
    expect(shifted({ from: now - 10, to: now }, { zoom: 0.5 }, now).to).toBe(now);
    expect(lengthOf(span)).toBe("60 m");
  });
});

describe("axes", () => {
  it("have round values", () => {
    const labels = (low: number, high: number): string => valueTicks(low, high, 6).map(({ label }) => label).join(" ");
    expect(labels(-20.4, -4.6)).toBe("-20 -15 -10 -5");
    expect(labels(0.12, 0.34)).toBe("0.15 0.20 0.25 0.30");
    expect(labels(-1, 1)).toBe("-1.0 -0.5 0.0 0.5 1.0");
    expect(labels(1e9, 3e9)).toBe("1.0e9 1.5e9 2.0e9 2.5e9 3.0e9");
    expect(padded(5, 5)).toEqual([4.75, 5.25]);
    expect(padded(Infinity, -Infinity)).toEqual([0, 1]);
  });

  it("have round instants on the clocks of the time zone, and name the days that begin", () => {
    const from = Date.UTC(2026, 0, 1, 16, 10);
    const labels = (to: number, zone: string): string => timeTicks(from, to, 8, zone).map(({ label }) => label).join(" ");
    expect(labels(from + 12 * HOUR, "UTC")).toBe("18:00 20:00 22:00 2 Jan 02:00 04:00");
    expect(labels(from + 12 * HOUR, "Asia/Kolkata")).toBe("22:00 2 Jan 02:00 04:00 06:00 08:00");
    expect(labels(from + 30_000, "UTC")).toBe("16:10:00 16:10:05 16:10:10 16:10:15 16:10:20 16:10:25 16:10:30");
    expect(labels(from + 7 * DAY, "UTC")).toContain("3 Jan");
  });

  it("follow a change of clocks", () => {
    const from = Date.UTC(2026, 2, 28, 12);
    const days = timeTicks(from, from + 3 * DAY, 4, "Europe/Berlin");
    expect(days.map(({ at }) => new Date(at).toISOString().slice(5, 16))).toEqual(["03-28T23:00", "03-29T22:00", "03-30T22:00"]);
  });
});

describe("what is under the cursor", () => {
  it("is the nearest point, and no break", () => {
    const columns: Columns = [[1, 2, 3, 4], [1, 2, null, 4], [1, 2, null, 4], [1, 2, null, 4]];
    expect([0, 1_400, 1_600, 2_900, 3_100, 9_000].map((at) => nearest(columns, at))).toEqual([0, 0, 1, 1, 3, 3]);
    expect(nearest([[], [], [], []], 5)).toBe(null);
  });
});

describe("episodes", () => {
  const alert = (id: string, more: Partial<Alert>): Alert => plain(id, { rule: id, since: 5, fired_at: 5, ...more });

  it("last from when an alert fired to when it was over, each once", () => {
    const open = alert("open", { fired_at: 20 });
    const over = alert("over", { state: "resolved", since: 15, fired_at: 10, resolved_at: 15 });
    const episodes = episodesOf([open], [over, open, alert("soon", { state: "pending", fired_at: null })]);
    expect(episodes.map(({ id, from, to }) => [id, from, to])).toEqual([["over", 10, 15], ["open", 20, null]]);
    expect(holding(episodes, 12).map(({ id }) => id)).toEqual(["over"]);
    expect(holding(episodes, 99).map(({ id }) => id)).toEqual(["open"]);
    expect(holding(episodes, 17)).toEqual([]);
  });
});

describe("a command's payload", () => {
  it("is JSON that a browser does not change, or any text", () => {
    expect(payloadFault('{"setpoint": -20}', true)).toBe(null);
    expect(payloadFault('{"a": 1,\n "b": }', true)).toMatch(/no JSON/);
    expect(payloadFault("12345678901234567890", true)).toMatch(/more digits/);
    expect(payloadFault('"12345678901234567890"', true)).toBe(null);
    expect(payloadFault("restart", false)).toBe(null);
    expect(payloadFault(" ", true)).toMatch(/empty/);
    expect(payloadFault("x".repeat(70_000), false)).toMatch(/64 KiB/);
  });

  it("is sent again without the id of the first time", () => {
    const again = (payload: unknown) => againOf({ id: "0a", payload } as unknown as Parameters<typeof againOf>[0]);
    expect(again({ on: true, ref: "0a" })).toEqual({ payload: '{\n  "on": true\n}', id_as: "ref" });
    expect(again([1])).toEqual({ payload: "[1]", id_as: "" });
  });

  it("is answered with JSON, text or bytes", () => {
    const answer = (answer: object | null) => answerOf({ answer } as unknown as Parameters<typeof answerOf>[0]);
    expect(answer(null)).toBe(null);
    expect(answer({ payload: { done: true } })).toBe('{"done":true}');
    expect(answer({ payload_text: "ok" })).toBe("ok");
    expect(answer({ payload_base64: "/w==" })).toBe("/w== (base64)");
  });
});
