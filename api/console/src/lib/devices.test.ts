import { describe, expect, it } from "vitest";

import {
  countsByDevice,
  entries,
  type Entry,
  labelNames,
  labelValues,
  matchEntries,
  mergeEntries,
  narrowEntries,
  orderEntries,
  rowsOf,
  sorting,
  worstOf,
} from "./devices";
import { parseMatchers } from "./matchers";
import { alert as plain } from "./testing";
import type { Alert, AlertState, Device, Severity } from "./words";

function device(name: string, more: Partial<Device> = {}): Device {
  return { device: name, first_seen: 0, last_seen: null, online: null, clock_skew_ms: null, labels: [], ...more };
}

function alert(device: string, severity: Severity, state: AlertState = "firing"): Alert {
  const id = `${device} ${severity} ${state}`;
  return plain(id, { device, severity, state, since: 0, fired_at: 0 });
}

const names = (list: Entry[]): string => list.map(({ device }) => device).join(" ");

const list = entries([
  device("freezer-1", { labels: [["kind", "freezer"], ["site", "berlin"]], online: true, last_seen: 10, clock_skew_ms: -9 }),
  device("freezer-2", { labels: [["kind", "freezer"], ["site", "bonn"]], online: false, last_seen: 30, clock_skew_ms: 5 }),
  device("pump-1", { labels: [["kind", "pump"]], last_seen: 20 }),
]);

describe("devices", () => {
  it("are found by matchers, which mean whole values, and an absent label is empty", () => {
    const found = (text: string): string => names(matchEntries(list, parseMatchers(text).matchers));
    expect(found('kind="freezer"')).toBe("freezer-1 freezer-2");
    expect(found('site=~"b.n|ber"')).toBe("");
    expect(found('site=~"b.*n"')).toBe("freezer-1 freezer-2");
    expect(found('site=""')).toBe("pump-1");
    expect(found('site!="bonn"')).toBe("freezer-1 pump-1");
    expect(found('device=~".*-1" kind!~"p.*"')).toBe("freezer-1");
    expect(found("")).toBe("freezer-1 freezer-2 pump-1");
  });

  it("are narrowed to those that are there, and to those with alerts", () => {
    const counts = countsByDevice([alert("freezer-1", "warning"), alert("pump-1", "critical", "pending")]);
    const found = (presence: "online" | "offline" | null, alerts: Severity | "any" | "none" | null): string =>
      names(narrowEntries(list, { presence, alerts }, counts));
    expect(found("online", null)).toBe("freezer-1");
    expect(found("offline", null)).toBe("freezer-2");
    expect(found(null, "any")).toBe("freezer-1");
    expect(found(null, "warning")).toBe("freezer-1");
    expect(found(null, "critical")).toBe("");
    expect(found(null, "none")).toBe("freezer-2 pump-1");
  });

  it("have their loud alerts counted by severity", () => {
    const counts = countsByDevice([alert("a", "info"), alert("a", "critical"), alert("a", "warning", "resolved")]);
    expect(counts.get("a")).toEqual({ critical: 1, warning: 0, info: 1 });
    expect(worstOf(counts.get("a"))).toBe("critical");
    expect(worstOf(counts.get("b"))).toBe(null);
  });

  it("are ordered both ways, and those without a value are last either way", () => {
    const by = (order: Parameters<typeof orderEntries>[1], down = false, values = new Map([["freezer-2", 1], ["pump-1", 7]])): string =>
      names(orderEntries(list, order, new Map(), { down, values }));
    expect(by("seen")).toBe("freezer-2 pump-1 freezer-1");
    expect(by("seen", true)).toBe("freezer-1 pump-1 freezer-2");
    expect(by("presence")).toBe("freezer-2 freezer-1 pump-1");
    expect(by("clock")).toBe("freezer-1 freezer-2 pump-1");
    expect(by("name", true)).toBe("pump-1 freezer-2 freezer-1");
    expect(by("m:speed")).toBe("pump-1 freezer-2 freezer-1");
    expect(by("m:speed", true)).toBe("freezer-2 pump-1 freezer-1");
  });

  it("have their order in the address", () => {
    for (const text of [null, "seen", "-seen", "m:motor.speed", "-m:x"]) expect(sorting.write(sorting.read(text))).toBe(text);
    expect(sorting.read("odd")).toEqual({ by: "alerts", down: false });
  });

  it("are gathered by a label, those without it last, and a group can be shut", () => {
    const counts = countsByDevice([alert("freezer-2", "critical")]);
    const told = rowsOf(list, "site", counts, new Set(["berlin"])).map((row) =>
      row.entry === null ? [row.value, row.n, row.n_online, row.worst, row.closed] : row.entry.device,
    );
    expect(told).toEqual([
      ["berlin", 1, 1, null, true],
      ["bonn", 1, 0, "critical", false],
      "freezer-2",
      ["", 1, 0, null, false],
      "pump-1",
    ]);
    expect(rowsOf(list, "", counts, new Set())).toHaveLength(3);
  });

  it("offer the names and values of their labels", () => {
    expect(labelNames(list)).toEqual(["kind", "site"]);
    expect(labelValues(list, "kind")).toEqual(["freezer", "pump"]);
  });

  it("that are fetched again keep their order and what was heard of them meanwhile", () => {
    const before = entries([device("a-10", { last_seen: 5 }), device("a-9")]);
    expect(names(before)).toBe("a-9 a-10");
    const [first] = before;
    if (first !== undefined) first.last_seen = 9;
    const after = mergeEntries(before, [device("a-10", { last_seen: 6 }), device("a-9", { last_seen: 7, labels: [["x", "Y"]] })]);
    expect(after.map(({ device, last_seen, haystack }) => [device, last_seen, haystack])).toEqual([
      ["a-9", 9, "a-9 x=y"],
      ["a-10", 6, "a-10"],
    ]);
    expect(names(mergeEntries(after, [device("a-10"), device("a-2")]))).toBe("a-2 a-10");
  });
});
