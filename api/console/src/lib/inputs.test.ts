import { describe, expect, it } from "vitest";

import { parseMatchers, writeMatchers } from "./matchers";
import { fromInput, range, spanOf, toInput } from "./timerange";

describe("matchers", () => {
  it("are read with spaces or commas, with quotes or without, and written with both", () => {
    const check = (text: string, written: string): void => {
      const { matchers, wrong } = parseMatchers(text);
      expect(wrong).toBe(null);
      expect(writeMatchers(matchers)).toBe(written);
    };
    check('site="berlin" kind=~"f.*"', 'site="berlin", kind=~"f.*"');
    check('{site != berlin,severity!~"info|warning",}', 'site!="berlin", severity!~"info|warning"');
    check('rule="say \\"no\\"\\n" a.b-c=1', 'rule="say \\"no\\"\\n", a.b-c="1"');
    check("  ", "");
  });

  it("that cannot be read say where and why", () => {
    const at = (text: string) => parseMatchers(text).wrong?.at ?? null;
    expect(at('site="berlin" =x')).toBe(14);
    expect(at("site")).toBe(4);
    expect(at("site=")).toBe(5);
    expect(at('site="ber')).toBe(5);
    expect(at('a="b" kind=~"("')).toBe(6);
    expect(parseMatchers('a="b" kind').matchers).toHaveLength(1);
  });
});

describe("a stretch of time", () => {
  const codec = range("24h");
  const hour = 3_600_000;

  it("is a word or two instants in the address, and nothing where it is the default", () => {
    expect(codec.read(null)).toEqual({ last_ms: 24 * hour });
    expect(codec.write({ last_ms: 24 * hour })).toBe(null);
    expect(codec.write({ last_ms: hour })).toBe("1h");
    const own = { from: Date.UTC(2026, 0, 1), to: Date.UTC(2026, 0, 2) };
    expect(codec.read(codec.write(own))).toEqual(own);
    for (const odd of ["soon", "..", "2026-01-02..2026-01-01"]) expect(codec.read(odd)).toEqual({ last_ms: 24 * hour });
  });

  it("ends now, or where it says", () => {
    expect(spanOf({ last_ms: 5 }, 100)).toEqual({ from: 95, to: 100 });
    expect(spanOf({ from: 1, to: 2 }, 100)).toEqual({ from: 1, to: 2 });
  });

  it("is typed in the time zone that times are shown in", () => {
    const noon = Date.UTC(2026, 0, 15, 12);
    expect(toInput(noon, "UTC")).toBe("2026-01-15T12:00");
    expect(toInput(noon, "Asia/Kolkata")).toBe("2026-01-15T17:30");
    for (const zone of ["UTC", "Asia/Kolkata", "America/New_York", undefined]) {
      expect(fromInput(toInput(noon, zone), zone)).toBe(noon);
    }
    // Both sides of the change of clocks in Berlin, 29 March 2026, 01:00 UTC.
    for (const [text, at] of [
      ["2026-03-29T01:59", Date.UTC(2026, 2, 29, 0, 59)],
      ["2026-03-29T03:00", Date.UTC(2026, 2, 29, 1, 0)],
      ["2026-03-29T02:30", Date.UTC(2026, 2, 29, 1, 30)],
    ] as const) {
      expect(fromInput(text, "Europe/Berlin")).toBe(at);
    }
    expect(fromInput("", "UTC")).toBeNaN();
  });
});
