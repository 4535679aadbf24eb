import { describe, expect, it } from "vitest";

import { entries, filterEntries, orderEntries } from "./devices";
import type { DeviceAlerts } from "./feed";
import { AT_ONCE_MAX, Fetcher, FRESH_MS } from "./fetcher";
import { DEVICES_MAX, LatestValues } from "./latest";
import { rowsInView } from "./rows";
import type { Device } from "./words";

function device(name: string, last_seen: number, labels: [string, string][] = []): Device {
  return { device: name, first_seen: 0, last_seen, online: true, clock_skew_ms: null, labels };
}

const names = (list: { device: string }[]): string => list.map(({ device }) => device).join(" ");

describe("the list of devices", () => {
  const list = entries([
    device("freezer-10", 30, [["site", "Berlin-2"]]),
    device("freezer-2", 10, [["site", "hamburg"]]),
    device("pump-1", 20, [["site", "Berlin-1"]]),
  ]);

  it("orders numbers in names as numbers", () => {
    expect(names(list)).toBe("freezer-2 freezer-10 pump-1");
  });

  it("finds every word in names and labels, whatever their case", () => {
    expect(names(filterEntries(list, "FREEZER site=berlin"))).toBe("freezer-10");
    expect(names(filterEntries(list, "  "))).toBe("freezer-2 freezer-10 pump-1");
    expect(names(filterEntries(list, "freezer pump"))).toBe("");
  });

  it("puts devices with alerts first, the worst of them on top", () => {
    const alerts = new Map<string, DeviceAlerts>([
      ["freezer-10", { worst: "info", count: 1 }],
      ["pump-1", { worst: "critical", count: 2 }],
    ]);
    expect(names(orderEntries(list, "alerts", alerts))).toBe("pump-1 freezer-10 freezer-2");
  });

  it("orders by last seen, the latest first", () => {
    expect(names(orderEntries(list, "seen", new Map()))).toBe("freezer-10 pump-1 freezer-2");
  });

  it("renders only rows in view and a few around", () => {
    expect(rowsInView(0, 400, 40, 10_000)).toEqual({ start: 0, end: 18 });
    expect(rowsInView(200_000, 400, 40, 10_000)).toEqual({ start: 4992, end: 5018 });
    expect(rowsInView(0, 400, 40, 3)).toEqual({ start: 0, end: 3 });
  });
});

describe("latest values", () => {
  it("keep the newest of each metric", () => {
    const latest = new LatestValues();
    latest.put("a", [{ metric: "m", at: 5, value: 1 }]);
    latest.put("a", [
      { metric: "m", at: 4, value: 2 },
      { metric: "b", at: 1, value: "on" },
    ]);
    expect(latest.of("a")?.map(({ metric, value }) => [metric, value])).toEqual([
      ["b", "on"],
      ["m", 1],
    ]);
    expect(latest.of("b")).toBe(null);
  });

  it("forget the device that was not touched for longest", () => {
    const latest = new LatestValues();
    for (let i = 0; i < DEVICES_MAX; i += 1) latest.put(String(i), []);
    latest.put("0", []);
    latest.put("one more", []);
    expect(latest.of("0")).not.toBe(null);
    expect(latest.of("1")).toBe(null);
  });
});

describe("fetching for what is in view", () => {
  function scene() {
    const asked: string[] = [];
    const ends: (() => void)[] = [];
    const clock = { now: 1_000_000 };
    const fetcher = new Fetcher(
      (device) => {
        asked.push(device);
        return new Promise((resolve) => ends.push(resolve));
      },
      () => clock.now,
    );
    const settle = async (): Promise<void> => {
      ends.splice(0).forEach((end) => end());
      await new Promise((resolve) => setTimeout(resolve, 0));
    };
    return { fetcher, asked, clock, settle };
  }

  it("asks a few at a time and drops what left the view", async () => {
    const { fetcher, asked, settle } = scene();
    fetcher.want(Array.from({ length: 10 }, (_, i) => `a${i}`));
    expect(asked.length).toBe(AT_ONCE_MAX);
    fetcher.want(["b"]);
    await settle();
    expect(asked.slice(AT_ONCE_MAX)).toEqual(["b"]);
  });

  it("does not ask again for what is fresh", async () => {
    const { fetcher, asked, clock, settle } = scene();
    fetcher.want(["a"]);
    await settle();
    fetcher.want(["a"]);
    expect(asked).toEqual(["a"]);
    clock.now += FRESH_MS + 1;
    fetcher.want(["a"]);
    expect(asked).toEqual(["a", "a"]);
  });

  it("asks again after a new connection", async () => {
    const { fetcher, asked, settle } = scene();
    fetcher.want(["a"]);
    await settle();
    fetcher.forget();
    fetcher.want(["a"]);
    expect(asked).toEqual(["a", "a"]);
  });
});
