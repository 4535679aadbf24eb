import { describe, expect, it } from "vitest";

import { PAGES } from "../pages";
import { flag, oneOf, readQuery, someOf, text, writeQuery } from "./query";
import { devicePath, matchPage, matchPath } from "./route";

const pages = ["/", "/rules", "/rules/{name}", "/rules/new"].map((path) => ({ path }));
const pageOf = (path: string) => matchPage(pages, path)?.page.path ?? null;

describe("the page of a path", () => {
  it("is found, whole names before parts", () => {
    expect(pageOf("/")).toBe("/");
    expect(pageOf("/rules/")).toBe("/rules");
    expect(pageOf("/rules/new")).toBe("/rules/new");
    expect(pageOf("/rules/too-warm")).toBe("/rules/{name}");
    expect(pageOf("/rules/a/b")).toBe(null);
    expect(pageOf("/nowhere")).toBe(null);
  });

  it("gives parts as they were before they were a path", () => {
    const odd = "a/b %?#ü";
    expect(matchPath("/devices/{device}", devicePath(odd))).toEqual({ device: odd });
    expect(matchPath("/devices/{device}", "/devices/%E0%A4%A")).toBe(null);
  });
});

describe("the table of pages", () => {
  it("has each name, path and key once, and each page below one that is there", () => {
    for (const key of ["name", "path", "key"] as const) {
      const all = PAGES.map((page) => page[key]).filter((it) => it !== undefined);
      expect(new Set(all).size, key).toBe(all.length);
    }
    for (const { under } of PAGES) {
      if (under !== undefined) expect(PAGES.some(({ name }) => name === under), under).toBe(true);
    }
  });
});

describe("filters in the address", () => {
  const shape = {
    q: text(),
    order: oneOf(["name", "seen"], "name"),
    only: oneOf(["on", "off"], null),
    severity: someOf(["critical", "warning", "info"]),
    ended: flag(),
  };
  const defaults = { q: "", order: "name", only: null, severity: [], ended: false };

  it("are read, and are the default where they are not known", () => {
    expect(readQuery(shape, "")).toEqual(defaults);
    expect(readQuery(shape, "?order=odd&only=x&severity=huge&ended=yes")).toEqual(defaults);
    expect(readQuery(shape, "?q=a+b&order=seen&only=off&severity=info,critical&ended=1")).toEqual({
      q: "a b",
      order: "seen",
      only: "off",
      severity: ["critical", "info"],
      ended: true,
    });
  });

  it("are written without defaults, and leave what is not theirs", () => {
    expect(writeQuery(shape, "?kiosk=1&q=a", { q: "", severity: ["info", "warning"] })).toBe(
      "?kiosk=1&severity=warning%2Cinfo",
    );
    expect(writeQuery(shape, "?q=a", { ended: true })).toBe("?q=a&ended=1");
    expect(writeQuery(shape, "?q=a", { q: "" })).toBe("");
  });
});
