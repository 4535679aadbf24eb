import { describe, expect, it } from "vitest";

import { POINTS_MAX, Series } from "./series";

const raw = (at: number, value: number) => ({ at, avg: value, min: value, max: value });

describe("series", () => {
  it("joins live readings to the history, each once", () => {
    const series = new Series(null);
    series.add(3000, 3);
    series.add(4000, 4);
    series.load([raw(2000, 2), raw(1000, 1), raw(3000, 3)]);
    series.add(4000, 4);
    expect(series.columns(0)[0]).toEqual([1, 2, 3, 4]);
    expect(series.columns(0)[1]).toEqual([1, 2, 3, 4]);
  });

  it("puts a late reading where it belongs", () => {
    const series = new Series(null);
    for (const at of [1000, 3000, 2000]) series.add(at, at);
    expect(series.columns(0)[0]).toEqual([1, 2, 3]);
  });

  it("folds live readings into buckets", () => {
    const series = new Series(10_000);
    for (const [at, value] of [[10_000, 1], [12_000, 5], [19_999, 3], [20_000, 7]] as const) {
      series.add(at, value);
    }
    expect(series.columns(0)).toEqual([
      [10, 20],
      [3, 7],
      [1, 7],
      [5, 7],
    ]);
  });

  it("breaks the line where the device was silent", () => {
    const series = new Series(null);
    for (const at of [1000, 2000, 3000, 60_000, 61_000]) series.add(at, 1);
    expect(series.columns(0)[1]).toEqual([1, 1, 1, null, 1, 1]);
  });

  it("breaks the line at a missing bucket", () => {
    const series = new Series(10_000);
    for (const at of [10_000, 20_000, 60_000]) series.add(at, 1);
    expect(series.columns(0)[1]).toEqual([1, 1, null, 1]);
  });

  it("does not break the line of a device that speaks rarely", () => {
    const series = new Series(null);
    for (let at = 0; at < 10; at += 1) series.add(at * 60_000, 1);
    expect(series.columns(0)[1]).not.toContain(null);
  });

  it("shows what is in range, and the one before so that the line enters it", () => {
    const series = new Series(null);
    for (const at of [1000, 2000, 3000, 4000]) series.add(at, at);
    expect(series.columns(2500)[0]).toEqual([2, 3, 4]);
  });

  it("is bounded", () => {
    const series = new Series(null);
    for (let at = 0; at < POINTS_MAX + 10; at += 1) series.add(at, at);
    expect(series.length).toBe(POINTS_MAX);
    expect(series.columns(0)[0][0]).toBe(0.01);
  });
});
