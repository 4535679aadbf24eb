import { describe, expect, it } from "vitest";

import { alert as plain } from "../testing";
import type { Alert, AlertEvent } from "../words";
import { factsOf, limitsOf, metricOf, namesIn, runbookOf, withoutLink } from "./condition";
import { type AlertFilters, arrange, isAlert, isGroup, wanting } from "./list";
import { fitting, matchersOf } from "./matching";
import { type Tick, timeTicks, valueTicks } from "../axes";
import { type Columns, nearest } from "../series";
import { type Outcome, tellOutcomes } from "./outcomes";
import { choose, extend, keep, move, NOTHING, toggle } from "./selection";
import { bodyOf, type Draft, faultsOf, hiddenBy, lengthOf, muting, type Silence } from "./silences";
import { merged, textOf, titleOf, wayOf } from "./timeline";
import { pathOf, SPAN_MS, Sparks, thinned, type Point } from "./sparks";

/** One with labels. */
function alert(id: string, more: Partial<Alert> = {}): Alert {
  return plain(id, { rule: "too-warm", labels: { site: "berlin", kind: "freezer" }, ...more });
}

const ALL: AlertFilters = {
  severity: [],
  state: null,
  rule: "",
  labels: "",
  q: "",
  mine: false,
  unacked: false,
  show: [],
  group: "",
  sort: "severity",
};

const none = new Set<string>();
const shown = (active: Alert[], more: Partial<AlertFilters> = {}, me: string | null = "otto") =>
  arrange(active, [], { ...ALL, ...more }, [], me, none);
const ids = (alerts: Alert[]): string => alerts.map(({ id }) => id).join("");

describe("the list", () => {
  it("hides what is muted, and counts it", () => {
    const list = [
      alert("1"),
      alert("2", { silenced: true }),
      alert("3", { inhibited: true }),
      alert("4", { snoozed_until: 9e12, severity: "warning" }),
    ];
    expect(ids(shown(list).alerts)).toBe("1");
    expect(shown(list).quiet).toMatchObject({ critical: 1, silenced: 1, inhibited: 1, snoozed: 1 });
    expect(ids(shown(list, { show: ["silenced", "snoozed"] }).alerts)).toBe("124");
    expect(shown(list, { severity: ["critical"] }).quiet.snoozed, "of another severity").toBe(0);
    expect(shown(list, { severity: ["info"] }).tiles.critical, "tiles do not count by themselves").toBe(1);
  });

  it("puts what is over and not acknowledged behind what is not over", () => {
    const list = [alert("1", { state: "resolved", latched: true }), alert("2", { severity: "info" })];
    const { items, alerts } = shown(list);
    expect(ids(alerts)).toBe("21");
    expect(items.map((item) => item.id)).toEqual(["2", "latched", "1"]);
    expect(ids(shown(list, { state: "latched" }).alerts)).toBe("1");
  });

  it("finds by text, labels, rule, and who has it", () => {
    const list = [
      alert("1", { assigned_to: "otto" }),
      alert("2", { acknowledged_by: "otto", labels: { site: "paris" } }),
      alert("3", { rule: "leak", summary: "Water in the cellar" }),
    ];
    expect(ids(shown(list, { q: "WATER cellar" }).alerts)).toBe("3");
    expect(ids(shown(list, { q: "paris" }).alerts)).toBe("2");
    expect(ids(shown(list, { rule: "leak" }).alerts)).toBe("3");
    expect(ids(shown(list, { mine: true }).alerts)).toBe("12");
    expect(ids(shown(list, { unacked: true }).alerts)).toBe("13");
    const paris = arrange(list, [], ALL, [{ name: "site", op: "=", value: "paris" }], null, none);
    expect(ids(paris.alerts)).toBe("2");
    expect(list.filter(wanting({ ...ALL, severity: ["info"] }, [], null))).toEqual([]);
  });

  it("groups by a label, the worst group first, and keeps closed groups closed", () => {
    const list = [
      alert("1", { severity: "warning", labels: { site: "paris" } }),
      alert("2", { severity: "warning", labels: { site: "paris" }, acknowledged_by: "otto" }),
      alert("3"),
    ];
    const groups = shown(list, { group: "site" }).items.filter(isGroup);
    expect(groups.map(({ name, alerts, n_unacked }) => [name, alerts.length, n_unacked])).toEqual([
      ["berlin", 1, 1],
      ["paris", 2, 1],
    ]);
    const closed = new Set([groups[1]?.id ?? ""]);
    const folded = arrange(list, [], { ...ALL, group: "site" }, [], null, closed);
    expect(ids(folded.items.filter(isAlert))).toBe("3");
    expect(ids(folded.alerts), "all are still there to be chosen").toBe("312");
  });

  it("orders as asked", () => {
    const list = [alert("10", { since: 2 }), alert("9", { since: 3 }), alert("11", { since: 1 })];
    expect(ids(shown(list, { sort: "newest" }).alerts)).toBe("91011");
    expect(ids(shown(list, { sort: "oldest" }).alerts)).toBe("11109");
    expect(ids(shown(list, { sort: "device" }).alerts)).toBe("91011");
  });
});

describe("matching", () => {
  it("takes a missing label for the empty text and patterns for the whole value", () => {
    const fits = (name: string, op: "=" | "!=" | "=~" | "!~", value: string): boolean => fitting([{ name, op, value }])(alert("1"));
    expect(fits("site", "=~", "ber")).toBe(false);
    expect(fits("site", "=~", "ber.*|paris")).toBe(true);
    expect(fits("hall", "=", "")).toBe(true);
    expect(fits("constructor", "=", "")).toBe(true);
    expect(fits("hall", "!~", ".+")).toBe(true);
    expect(fits("severity", "!=", "info")).toBe(true);
    expect(fits("site", "=~", "(")).toBe(false);
  });

  it("makes matchers that fit what was chosen", () => {
    const two = [alert("1", { device: "a.1" }), alert("2", { device: "b|2" })];
    const matchers = matchersOf(two);
    expect(matchers).toEqual([
      { name: "rule", op: "=", value: "too-warm" },
      { name: "device", op: "=~", value: "a\\.1|b\\|2" },
    ]);
    expect(two.every(fitting(matchers))).toBe(true);
    expect(fitting(matchers)(alert("3", { device: "ax1" }))).toBe(false);
    const many = Array.from({ length: 40 }, (_, i) => alert(String(i)));
    expect(matchersOf(many).map(({ name, value }) => `${name}=${value}`)).toEqual([
      "rule=too-warm",
      "site=berlin",
      "kind=freezer",
    ]);
    expect(matchersOf([])).toEqual([]);
  });
});

describe("the choice", () => {
  const list = ["a", "b", "c", "d"];
  it("moves with the list", () => {
    expect(move(NOTHING, list, 1).at).toBe("a");
    expect(move(NOTHING, list, -1).at).toBe("d");
    expect(move({ ...NOTHING, at: "d" }, list, 1).at).toBe("d");
    expect(move({ ...NOTHING, at: "gone" }, list, 1).at).toBe("a");
    expect(move({ ...NOTHING, at: "a" }, [], 1).at).toBeNull();
  });

  it("chooses from one to another, in both directions", () => {
    const one = toggle(NOTHING, "c");
    expect([...extend(one, list, "a").chosen].sort()).toEqual(["a", "b", "c"]);
    expect([...extend(one, list, "d").chosen].sort()).toEqual(["c", "d"]);
    expect([...toggle(one, "c").chosen]).toEqual([]);
  });

  it("forgets what is gone", () => {
    const all = choose(NOTHING, list);
    expect(keep(all, new Set(list))).toBe(all);
    expect([...keep(all, new Set(["b"])).chosen]).toEqual(["b"]);
  });
});

describe("conditions", () => {
  it("knows the names in them", () => {
    expect(namesIn("avg(temperature, 5m) > limit and not door_open")).toEqual(["temperature", "limit", "door_open"]);
    expect(namesIn("max by (site) (`Druck/Öl`) > 3 or mode = 'fast lane'")).toEqual(["Druck/Öl", "mode"]);
    expect(metricOf("temperature > limit", ["limit2", "temperature"])).toBe("temperature");
    expect(metricOf("age(beat) > 5m", ["x"])).toBeNull();
  });

  it("reads the limits from the reasons, with the side that is bad", () => {
    expect(factsOf("avg(temperature, 5m) -9.5 > -15 held for 2m")).toEqual([
      { source: "avg(temperature, 5m)", value: -9.5, op: ">", limit: -15 },
    ]);
    const limits = limitsOf(
      [
        { reason: "temperature -5 > -15 and door_open 1 = 1, must hold for 2m", isEnd: false },
        { reason: "now critical: temperature 3 > 0", isEnd: false },
        { reason: "temperature -18 < -17", isEnd: true },
        { reason: "temperature -18 <= -15", isEnd: true },
        { reason: "no reading for 5m", isEnd: true },
      ],
      "temperature",
    );
    expect(limits).toEqual([
      { value: -15, bad: "above", clears: false },
      { value: 0, bad: "above", clears: false },
      { value: -17, bad: "above", clears: true },
    ]);
  });

  it("draws no limit that is not in the unit of the readings", () => {
    const of = (reason: string) => limitsOf([{ reason, isEnd: false }], "count");
    expect(of("rate(count, 5m) 3 > 2")).toEqual([]);
    expect(of("count * 2 8 > 7")).toEqual([]);
    expect(of("max(count, 5m) 1e3 >= 1E+2")).toEqual([{ value: 100, bad: "above", clears: false }]);
  });

  it("links only to what is a page", () => {
    expect(runbookOf({ runbook: "https://wiki.example/warm" }, "")).toBe("https://wiki.example/warm");
    expect(runbookOf({ runbook: "javascript:alert(1)" }, "")).toBeNull();
    expect(runbookOf({}, "too warm, see https://wiki.example/a?b=c now")).toBe("https://wiki.example/a?b=c");
    expect(runbookOf({}, "too warm")).toBeNull();
    expect(withoutLink("too warm (see https://wiki.example/a)")).toBe("too warm");
    expect(withoutLink("too warm: https://wiki.example/a")).toBe("too warm");
    expect(withoutLink("too warm -")).toBe("too warm -");
    expect(withoutLink("https://wiki.example/a")).toBe("https://wiki.example/a");
  });
});

describe("silences", () => {
  const draft: Draft = { matchers: 'site="berlin"', reason: "works", starts: null, length: "2h", ends: Number.NaN, schedule: "", zone: "UTC" };

  it("knows lengths", () => {
    expect([lengthOf("30m"), lengthOf("7d"), lengthOf("x")]).toEqual([1_800_000, 604_800_000, null]);
  });

  it("says what is wrong before it is sent", () => {
    const now = Date.parse("2026-05-01T12:00:00Z");
    expect(faultsOf(draft, now)).toEqual({});
    expect(Object.keys(faultsOf({ ...draft, matchers: "", reason: " ", length: "" }, now)).sort()).toEqual(["ends", "matchers", "reason"]);
    expect(faultsOf({ ...draft, matchers: "site=" }, now).matchers).toBeDefined();
    expect(faultsOf({ ...draft, length: "", ends: Date.parse("2026-05-01T11:00:00Z") }, now).ends).toBe("That is past.");
  });

  it("counts a length from when it starts", () => {
    expect(bodyOf(draft)).toEqual({ matchers: 'site="berlin"', reason: "works", for: "2h" });
    expect(bodyOf({ ...draft, starts: Date.parse("2026-05-01T12:00:00Z") })).toMatchObject({
      starts_at: "2026-05-01T12:00:00.000Z",
      ends_at: "2026-05-01T14:00:00.000Z",
    });
  });

  it("counts what an active one hides", () => {
    const silence = { matchers: 'site="berlin"', state: "active" } as Silence;
    const list = [alert("1"), alert("2", { state: "pending" }), alert("3", { labels: {} })];
    expect(hiddenBy(silence, list)).toBe(1);
    expect(hiddenBy({ ...silence, state: "pending" }, list)).toBe(0);
    const others = [{ ...silence, state: "waiting" }, { ...silence, matchers: 'site="bonn"' }] as Silence[];
    expect(muting(list[0]!, [...others, silence])).toBe(silence);
    expect(muting(list[0]!, others)).toBeNull();
  });
});

describe("small lines", () => {
  it("puts history in front of what came live, and keeps the newest when it thins out", () => {
    const sparks = new Sparks();
    sparks.add("a", { metric: "t", at: 5, value: 1 });
    expect(sparks.of("a", "t")).toEqual([]);
    sparks.load("a", "t", []);
    sparks.add("a", { metric: "t", at: 9, value: 2 });
    sparks.load("a", "t", [[1, 1], [5, 3]]);
    expect(sparks.of("a", "t")).toEqual([[1, 1], [5, 3], [9, 2]]);
    const many = Array.from({ length: 500 }, (_, i): Point => [i, i]);
    expect(thinned(many).length).toBeLessThanOrEqual(48);
    expect(thinned(many).at(-1)).toEqual([499, 499]);
  });

  it("draws within its box", () => {
    expect(pathOf([], 0, 80, 20)).toBe("");
    expect(pathOf([[0, 5], [SPAN_MS, 5]], SPAN_MS, 80, 20)).toBe("M0.0 10.0L80.0 10.0");
    expect(pathOf([[-1, 100], [0, 0], [SPAN_MS, 10]], SPAN_MS, 80, 20)).toBe("M0.0 20.0L80.0 0.0");
  });
});

describe("the chart", () => {
  it("has round ticks", () => {
    const places = (ticks: Tick[]): number[] => ticks.map(({ at }) => at);
    expect(places(valueTicks(-21, -4, 5))).toEqual([-20, -15, -10, -5]);
    expect(places(valueTicks(0, 0.31, 3))).toEqual([0, 0.2]);
    expect(places(timeTicks(0, 15 * 60_000, 5, "UTC"))).toEqual([0, 300_000, 600_000, 900_000]);
    expect(timeTicks(1, 3_600_000 * 24, 8, "UTC").length).toBeLessThanOrEqual(8);
  });

  it("finds what is near", () => {
    const columns: Columns = [[0, 1, 2, 3], [5, null, 6, 7], [], []];
    expect([nearest(columns, 900), nearest(columns, 1_400), nearest([[], [], [], []], 0)]).toEqual([0, 2, null]);
  });
});

describe("outcomes", () => {
  const outcome = (id: string, outcome: Outcome["outcome"], by: string | null = null): Outcome => ({
    id,
    outcome,
    alert: by === null ? null : ({ acknowledged_by: by } as never),
  });

  it("are told in one sentence, with who was first", () => {
    const told = tellOutcomes("ack", [
      outcome("1", "done"),
      outcome("2", "done"),
      outcome("3", "already_acknowledged", "bo"),
      outcome("4", "already_acknowledged", "bo"),
      outcome("5", "changed"),
    ]);
    expect(told).toBe("2 alerts acknowledged; 2 acknowledged already, by bo; 1 changed since you saw it: look again");
  });

  it("say to whom, and that nothing was done", () => {
    expect(tellOutcomes("assign", [outcome("1", "done")], "bo")).toBe("1 alert assigned to bo");
    expect(tellOutcomes("assign", [outcome("1", "done")], null)).toBe("1 alert assigned to nobody");
    expect(tellOutcomes("unsnooze", [outcome("1", "not_snoozed")])).toBe("1 not snoozed");
  });
});

describe("the timeline", () => {
  const event = (cursor: string, more: Partial<AlertEvent> = {}): AlertEvent => ({
    cursor,
    at: 0,
    alert: alert("1"),
    from: null,
    to: "firing",
    step: null,
    by: null,
    text: null,
    reason: "",
    correction: null,
    historical: false,
    times: { received: 1, durable: 3, judged: 4, sent: null },
    ...more,
  });

  it("tells once what was fetched and came live", () => {
    const live = event("b", { reason: "live" });
    expect(merged([event("a"), event("b")], [live, event("c")]).map(({ cursor, reason }) => cursor + reason)).toEqual(["a", "blive", "c"]);
  });

  it("has words for what happens, and for what it does not know", () => {
    expect(titleOf(event("a"))).toBe("Firing");
    expect(titleOf(event("a", { step: "assigned", by: "bo", alert: alert("1", { assigned_to: "bo" }) }))).toBe("took it");
    expect(titleOf(event("a", { step: "brand_new" }))).toBe("brand new");
    expect(titleOf(event("a", { step: "unlatched", by: "bo" }))).toBe("acknowledged it");
    expect(["silenced", "unsilenced"].map((step) => titleOf(event("a", { step, by: "bo" })))).toEqual(["silenced it", "unsilenced it"]);
    expect(titleOf(event("a", { step: "unsilenced" }))).toBe("No longer silenced");
    const assigned = (text: string) => textOf(event("a", { step: "assigned", text, alert: alert("1", { assigned_to: "bo" }) }));
    expect([assigned("to bo"), assigned("to bo: please look")]).toEqual(["", "please look"]);
    expect(textOf(event("a", { step: "commented", text: "to bo: hi" }))).toBe("to bo: hi");
  });

  it("tells the stages that are known", () => {
    expect(wayOf(event("a"))).toEqual([{ stage: "on disk", ms: 2 }, { stage: "judged", ms: 1 }]);
    expect(wayOf(event("a", { step: "commented" }))).toEqual([]);
  });
});
