import { describe, expect, it } from "vitest";

import type { Schemas } from "./client";
import { gateOf, mayDo, meOf } from "./session";

describe("what has to be shown first", () => {
  it("asks who comes where somebody has to be signed in", () => {
    expect(gateOf(401, "unauthenticated")).toBe("sign_in");
    expect(gateOf(403, "setup_needed")).toBe("set_up");
  });

  it("lets everybody in where nobody has to be, and lets pages tell of what fails", () => {
    expect(gateOf(200, undefined)).toBe("open");
    expect(gateOf(409, "insecure")).toBe("open");
    expect(gateOf(403, "forbidden")).toBe("open");
    expect(gateOf(503, "starting")).toBe("open");
  });
});

function body(more: Partial<Schemas["Me"]>): Schemas["Me"] {
  return { name: "ada", role: "admin", scope: null, via: "session", csrf: "x", expires_at: null, ...more };
}

describe("who is signed in", () => {
  it("is read, and is nobody where nobody has to sign in", () => {
    expect(meOf(body({ expires_at: "2026-01-01T00:00:00Z", scope: "site = 'b'" }))).toEqual({
      name: "ada",
      role: "admin",
      scope: "site = 'b'",
      csrf: "x",
      expires_at: Date.UTC(2026, 0, 1),
    });
    expect(meOf(body({ csrf: null }))?.csrf).toBeNull();
    expect(meOf(body({ via: "nothing" }))).toBeNull();
  });

  it("may do what their role and those below it may", () => {
    const may = (role: "viewer" | "operator" | "admin") =>
      (["viewer", "operator", "admin"] as const).filter((need) => mayDo(meOf(body({ role })), need));
    expect(may("viewer")).toEqual(["viewer"]);
    expect(may("operator")).toEqual(["viewer", "operator"]);
    expect(may("admin")).toEqual(["viewer", "operator", "admin"]);
    expect(mayDo(null, "admin")).toBe(true);
  });
});
