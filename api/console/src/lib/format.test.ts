import { describe, expect, it } from "vitest";

import { faviconOf, titleOf } from "./favicon";
import { formatAge, formatFull, formatMillis, formatSkew, formatTime, formatValue, setTimeZone, SKEW_MAX_MS } from "./format";

describe("ages", () => {
  const check = (ms: number, text: string): void => expect(formatAge(ms)).toBe(text);

  it("are as exact as is useful", () => {
    check(-5000, "0 s");
    check(999, "0 s");
    check(59_999, "59 s");
    check(60_000, "1 m 00 s");
    check(245_000, "4 m 05 s");
    check(3_599_999, "59 m 59 s");
    check(12_000_000, "3 h 20 m");
    check(86_400_000, "1 d 0 h");
    check(187_200_000, "2 d 4 h");
  });
});

describe("clocks", () => {
  it("are spoken of when they are off by more than a network delays", () => {
    expect(formatSkew(null)).toBe(null);
    expect(formatSkew(SKEW_MAX_MS)).toBe(null);
    expect(formatSkew(-SKEW_MAX_MS)).toBe(null);
    expect(formatSkew(90_000)).toBe("clock 1 m 30 s ahead");
    expect(formatSkew(-7_200_400)).toBe("clock 2 h 00 m behind");
  });
});

describe("values", () => {
  const check = (value: number | string | null, text: string): void =>
    expect(formatValue(value)).toBe(text);

  it("have six digits at most", () => {
    check(-18.25, "-18.25");
    check(0, "0");
    check(1 / 3, "0.333333");
    check(1234567, "1234570");
    check(2.5e12, "2.5E12");
    check(0.00001, "1E-5");
    check("defrost", "defrost");
    check(null, "–");
  });

  it("tell milliseconds finely when they are few", () => {
    expect([0.418, 3.14, 120.4, 2400].map(formatMillis)).toEqual([
      "0.42 ms",
      "3.1 ms",
      "120 ms",
      "2.4 s",
    ]);
  });
});

describe("the tab", () => {
  const none = { critical: 0, warning: 0, info: 0, pending: 3, latched: 1, silenced: 4, inhibited: 0, snoozed: 0 };

  it("counts in its title", () => {
    expect(titleOf(none, false, "")).toBe("Bellwire");
    expect(titleOf({ ...none, critical: 2, warning: 1 }, false, "Devices")).toBe(
      "2 critical, 1 warning · Devices · Bellwire",
    );
    expect(titleOf({ ...none, critical: 2 }, true, "")).toBe("stale, 2 critical · Bellwire");
  });

  it("has an icon for the worst that calls, and one for each count up to nine", () => {
    expect(faviconOf(none, false)).toBe("/favicon.svg");
    expect(faviconOf({ ...none, warning: 3 }, false)).toBe("/favicon-warning-3.svg");
    expect(faviconOf({ ...none, critical: 9, warning: 3 }, false)).toBe("/favicon-critical-9.svg");
    expect(faviconOf({ ...none, critical: 5000 }, false)).toBe("/favicon-critical-10.svg");
    expect(faviconOf({ ...none, critical: 1 }, true)).toBe("/favicon-stale.svg");
  });
});

describe("instants", () => {
  const at = Date.UTC(2026, 1, 3, 23, 30, 5);

  it("are told in the time zone that is set, with the day where it is another", () => {
    setTimeZone("UTC");
    expect(formatTime(at, at + 60_000)).toBe("23:30:05");
    expect(formatTime(at, at + 3_600_000)).toBe("3 Feb 23:30:05");
    expect(formatFull(at)).toBe("3 Feb 2026, 23:30:05 UTC");
    setTimeZone("Asia/Tokyo");
    expect(formatTime(at, at)).toBe("08:30:05");
    expect(formatFull(at)).toMatch(/^4 Feb 2026, 08:30:05 /);
    setTimeZone(undefined);
  });
});
