import { describe, expect, it } from "vitest";

import { conflictsOf, faultsOf, patchOf, rebased, rowsOf } from "./labels";

const rows = (labels: Record<string, string>) => rowsOf(labels);

describe("labels that are edited", () => {
  it("are sent as what is different", () => {
    expect(patchOf({ a: "1", b: "2", c: "3" }, rows({ a: "1", b: "4", d: "5" }))).toEqual({ b: "4", c: null, d: "5" });
    expect(patchOf({ a: "1" }, [...rows({ a: "1" }), { name: "", value: "" }])).toEqual({});
  });

  it("say which row is wrong", () => {
    const faults = faultsOf([
      { name: "site", value: "x" },
      { name: "site", value: "y" },
      { name: "", value: "z" },
      { name: "", value: "" },
      { name: "kind", value: "" },
      { name: "device", value: "x" },
    ]);
    expect(faults.map((it) => it !== null)).toEqual([false, true, true, false, true, true]);
  });

  it("that somebody else changed meanwhile are told, and nothing of either is lost", () => {
    const [base, theirs] = [{ site: "a", kind: "f" }, { site: "b", kind: "f", new: "1" }];
    const mine = rows({ site: "c", kind: "f", own: "2" });
    expect(conflictsOf(base, theirs, mine)).toEqual([
      { name: "new", was: null, theirs: "1", mine: null },
      { name: "site", was: "a", theirs: "b", mine: "c" },
    ]);
    expect(rebased(base, theirs, mine)).toEqual(rows({ site: "c", kind: "f", new: "1", own: "2" }));
    expect(rebased(base, theirs, rows({ site: "a" }))).toEqual(rows({ site: "b", new: "1" }));
  });
});
