import { expect, test } from "vitest";

import { differences, lastSignIns } from "./people";

test("the last sign-in is the latest of sessions and audit log", () => {
  const at = (second: number): string => new Date(second * 1000).toISOString();
  const last = lastSignIns(
    [{ user: "ada", created_at: at(5) }, { user: "ada", created_at: at(9) }],
    [
      { target: "ada", at: at(7), outcome: "done" },
      { target: "otto", at: at(3), outcome: "done" },
      { target: "vera", at: at(8), outcome: "refused" },
    ],
  );
  expect([...last]).toEqual([["ada", 9000], ["otto", 3000]]);
});

test("differences are found member by member", () => {
  const before = { role: "viewer", scope: null, labels: { site: "a", kind: "x" }, list: [1] };
  const after = { role: "operator", scope: "site = 'a'", labels: { site: "b", kind: "x" }, list: [1] };
  expect(differences(before, after)).toEqual([
    { path: "role", before: "viewer", after: "operator" },
    { path: "scope", before: null, after: "site = 'a'" },
    { path: "labels.site", before: "a", after: "b" },
  ]);
  expect(differences(null, { a: 1 })).toEqual([{ path: "a", before: null, after: "1" }]);
  expect(differences({ a: [1] }, null)).toEqual([{ path: "a", before: "[1]", after: null }]);
  expect(differences("x", "y")).toEqual([{ path: "value", before: "x", after: "y" }]);
  expect(differences(null, null)).toEqual([]);
});
