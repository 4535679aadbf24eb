import { expect, test } from "vitest";

import { buckets, parseMetrics, quantile, rate, since, total } from "./metrics";

const TEXT = `# HELP a_total Something.
# TYPE a_total counter
a_total{reason="x",kind="one"} 3
a_total{reason="y",kind="one"} 4
a_total{reason="say \\"hi\\"\\n"} 1
b 1.5e3
c +Inf
other_total 9
not a line
h_bucket{le="0.1"} 2
h_bucket{le="1"} 8
h_bucket{le="+Inf"} 10
`;

const read = (text: string) => parseMetrics(text, (name) => name !== "other_total");

test("samples are read with their labels", () => {
  const metrics = read(TEXT);
  expect(metrics.get("a_total")?.[2]).toEqual({ labels: { reason: 'say "hi"\n' }, value: 1 });
  expect(total(metrics, "a_total")).toBe(8);
  expect(total(metrics, "a_total", { kind: "one", reason: "y" })).toBe(4);
  expect(total(metrics, "b")).toBe(1500);
  expect(total(metrics, "c")).toBe(Infinity);
  expect(total(metrics, "other_total")).toBeNull();
  expect(total(metrics, "a_total", { reason: "z" })).toBeNull();
});

test("rates are differences, also over a restart", () => {
  expect(rate(10, 30, 5)).toBe(4);
  expect(rate(10, 5, 5)).toBe(1);
  expect(rate(null, 5, 5)).toBeNull();
  expect(rate(1, 5, 0)).toBeNull();
});

test("quantiles lie between the bounds of their bucket", () => {
  const counts = buckets(read(TEXT), "h");
  expect(quantile(0.5, counts)).toBeCloseTo(0.1 + 0.9 * 0.5);
  expect(quantile(0.1, counts)).toBeCloseTo(0.05);
  expect(quantile(0.99, counts)).toBe(1);
  expect(quantile(0.5, new Map())).toBeNull();
  expect(quantile(0.5, new Map([[1, 0], [Infinity, 0]]))).toBeNull();
});

test("between two looks only what is new counts", () => {
  const before = new Map([[0.1, 2], [1, 8], [Infinity, 10]]);
  const after = new Map([[0.1, 2], [1, 9], [Infinity, 12]]);
  expect([...since(before, after).values()]).toEqual([0, 1, 2]);
  expect([...since(after, before).values()], "it began anew").toEqual([2, 8, 10]);
});
