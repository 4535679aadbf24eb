import { describe, expect, it } from "vitest";

import {
  alertsByDevice,
  compareAlerts,
  compareEnded,
  countAlerts,
  ENDED_KEEP_MS,
  ENDED_MAX,
  Feed,
} from "./feed";
import { alert } from "./testing";
import type { Alert, SnapshotFrame, TransitionFrame } from "./words";

function snapshot(cursor: string, ...alerts: Alert[]): SnapshotFrame {
  return { type: "snapshot", cursor, alerts };
}

function step(cursor: string, it: Alert): TransitionFrame {
  return { type: "transition", cursor, alert: it, times: null, event: null };
}

describe("feed", () => {
  it("starts from the snapshot and remembers its cursor", () => {
    const feed = new Feed();
    feed.snapshot(snapshot("a:1", alert("1")), 0);
    expect([...feed.alerts.keys()]).toEqual(["1"]);
    expect(feed.cursor).toBe("a:1");
  });

  it("lets a later snapshot replace everything", () => {
    const feed = new Feed();
    feed.snapshot(snapshot("a:1", alert("1"), alert("2")), 0);
    feed.snapshot(snapshot("b:1", alert("3")), 0);
    expect([...feed.alerts.keys()]).toEqual(["3"]);
    expect(feed.cursor).toBe("b:1");
  });

  it("follows an alert through its states, once however often a step is told", () => {
    const feed = new Feed();
    feed.snapshot(snapshot("a:1"), 0);
    feed.transition(step("a:2", alert("1", { state: "pending", fired_at: null })), 0);
    feed.transition(step("a:3", alert("1")), 0);
    feed.transition(step("a:3", alert("1")), 0);
    expect(feed.alerts.get("1")?.state).toBe("firing");
    expect(feed.alerts.size).toBe(1);
    expect(feed.cursor).toBe("a:3");
  });

  it("keeps what ended for a while, apart from what goes on", () => {
    const feed = new Feed();
    feed.snapshot(snapshot("a:1", alert("1")), 0);
    feed.transition(step("a:2", alert("1", { state: "resolved", resolved_at: 5000 })), 7000);
    expect(feed.alerts.size).toBe(0);
    expect([...feed.ended.keys()]).toEqual(["1"]);
    feed.expire(7000 + ENDED_KEEP_MS - 1);
    expect(feed.ended.size).toBe(1);
    feed.expire(7000 + ENDED_KEEP_MS);
    expect(feed.ended.size).toBe(0);
  });

  it("keeps no trace of what never fired", () => {
    const feed = new Feed();
    feed.transition(step("a:1", alert("1", { state: "pending", fired_at: null })), 0);
    feed.transition(step("a:2", alert("1", { state: "inactive", fired_at: null })), 0);
    expect([feed.alerts.size, feed.ended.size]).toEqual([0, 0]);
  });

  it("takes an alert back that fires again", () => {
    const feed = new Feed();
    feed.transition(step("a:1", alert("1", { state: "resolved", resolved_at: 1 })), 0);
    feed.transition(step("a:2", alert("1")), 0);
    expect([feed.alerts.size, feed.ended.size]).toEqual([1, 0]);
  });

  it("lets the oldest of too many ended ones go", () => {
    const feed = new Feed();
    for (let i = 0; i <= ENDED_MAX; i += 1) {
      feed.transition(step("c", alert(String(i), { state: "resolved", resolved_at: i })), i);
    }
    expect(feed.ended.size).toBe(ENDED_MAX);
    expect(feed.ended.has("0")).toBe(false);
  });

  it("adds what ended before the page was there, unless it is known or old", () => {
    const feed = new Feed();
    const now = 10 * ENDED_KEEP_MS;
    const over = (id: string, resolved_at: number): Alert =>
      alert(id, { state: "resolved", resolved_at });
    feed.snapshot(snapshot("a:1", alert("live")), now);
    feed.past([over("new", now - 10), over("old", now - ENDED_KEEP_MS), over("live", now - 5)], now);
    expect([...feed.ended.keys()]).toEqual(["new"]);
    expect(feed.alerts.has("live")).toBe(true);
    const before = feed.version;
    feed.past([over("new", now - 10)], now);
    expect(feed.version).toBe(before);
  });

  it("says when an alert becomes critical, once", () => {
    const feed = new Feed();
    const says = (it: Alert): boolean => feed.transition(step("c", it), 0);
    expect(says(alert("1", { state: "pending" }))).toBe(false);
    expect(says(alert("1"))).toBe(true);
    expect(says(alert("1", { state: "recovering" }))).toBe(false);
    expect(says(alert("2", { severity: "warning" }))).toBe(false);
    expect(says(alert("2", { severity: "critical" }))).toBe(true);
    expect(says(alert("2", { state: "resolved" }))).toBe(false);
  });

  it("tells the median time from reading to alert", () => {
    const feed = new Feed();
    expect(feed.path()).toBe(null);
    for (const ms of [9, 2, 3]) {
      const times = { received: 100, durable: 101, judged: 101, sent: 100 + ms };
      feed.transition({ ...step("c", alert("1")), times }, 0);
    }
    expect(feed.path()).toEqual({ median_ms: 3, n: 3 });
  });

  it("counts its changes, and only changes", () => {
    const feed = new Feed();
    feed.snapshot(snapshot("a:1", alert("1")), 0);
    const before = feed.version;
    feed.expire(5);
    expect(feed.version).toBe(before);
    feed.transition(step("a:2", alert("1", { state: "resolved", resolved_at: 5 })), 5);
    expect(feed.version).toBeGreaterThan(before);
  });
});

describe("handling", () => {
  const act = (cursor: string, it: Alert, what: string, by: string | null): TransitionFrame => ({
    type: "step",
    cursor,
    alert: it,
    times: null,
    event: {
      cursor,
      at: 1,
      alert: it,
      from: null,
      to: null,
      step: what,
      by,
      text: null,
      reason: "",
      correction: null,
      historical: false,
      times: { received: null, durable: null, judged: null, sent: null },
    },
  });

  it("keeps what is over until somebody has acknowledged it", () => {
    const feed = new Feed();
    feed.snapshot(snapshot("a:1"), 0);
    const over = alert("1", { state: "resolved", resolved_at: 5, latched: true });
    feed.transition(step("a:2", over), 5);
    expect([feed.alerts.size, feed.ended.size]).toEqual([1, 0]);
    feed.transition(act("a:3", { ...over, latched: false, acknowledged_by: "bo" }, "acknowledged", "bo"), 6);
    expect([feed.alerts.size, feed.ended.size]).toEqual([0, 1]);
  });

  it("remembers who did what, once, the latest first", () => {
    const feed = new Feed();
    feed.transition(act("a:1", alert("1"), "acknowledged", "bo"), 0);
    feed.transition(act("a:1", alert("1"), "acknowledged", "bo"), 0);
    feed.transition(act("a:2", alert("1"), "silenced", null), 0);
    for (let n = 3; n < 20; n += 1) feed.transition(act(`a:${n}`, alert("2"), "commented", "cy"), 0);
    expect(feed.acts.length).toBe(8);
    expect(feed.acts[0]).toMatchObject({ cursor: "a:19", by: "cy" });
  });

  it("calls nobody for what is muted, and somebody when that ends", () => {
    const feed = new Feed();
    expect(feed.transition(step("a:1", alert("1", { silenced: true })), 0)).toBe(false);
    expect(feed.transition(act("a:2", alert("1"), "unsilenced", null), 0)).toBe(true);
    expect(feed.transition(act("a:3", alert("1", { snoozed_until: 9 }), "snoozed", "bo"), 0)).toBe(false);
  });

  it("lets go of what it may not see any more", () => {
    const feed = new Feed();
    feed.snapshot(snapshot("a:1", alert("1")), 0);
    feed.gone("1", "a:2");
    expect([feed.alerts.size, feed.cursor]).toEqual([0, "a:2"]);
  });
});

describe("order and counts", () => {
  it("puts the worst first, then the newest, then by id", () => {
    const list = [
      alert("d", { severity: "info", since: 9 }),
      alert("c", { severity: "warning", since: 1 }),
      alert("b", { since: 1 }),
      alert("a", { since: 1 }),
      alert("e", { since: 2 }),
      alert("f", { severity: "warning", since: 3 }),
    ];
    expect(list.sort(compareAlerts).map(({ id }) => id).join("")).toBe("eabfcd");
  });

  it("puts what ended last first", () => {
    const list = [1, 3, 2].map((resolved_at) => alert(String(resolved_at), { resolved_at }));
    expect(list.sort(compareEnded).map(({ id }) => id).join("")).toBe("321");
  });

  it("counts pending ones apart", () => {
    const list = [alert("1"), alert("2", { state: "pending" }), alert("3", { severity: "info" })];
    expect(countAlerts(list)).toMatchObject({ critical: 1, warning: 0, info: 1, pending: 1 });
  });

  it("counts what is muted by why, and what is over and not acknowledged apart", () => {
    const list = [
      alert("1", { silenced: true, inhibited: true }),
      alert("2", { inhibited: true }),
      alert("3", { snoozed_until: 9 }),
      alert("4", { state: "resolved", latched: true }),
    ];
    expect(countAlerts(list)).toEqual({ critical: 0, warning: 0, info: 0, pending: 0, latched: 1, silenced: 1, inhibited: 1, snoozed: 1 });
  });

  it("knows the worst loud alert of each device", () => {
    const list = [
      alert("1", { device: "a", severity: "info" }),
      alert("2", { device: "a", severity: "warning", state: "no_data" }),
      alert("3", { device: "a", state: "pending" }),
      alert("4", { device: "b", state: "pending" }),
    ];
    expect([...alertsByDevice(list)]).toEqual([["a", { worst: "warning", count: 2 }]]);
  });
});
