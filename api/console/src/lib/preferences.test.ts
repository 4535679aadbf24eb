import { describe, expect, it } from "vitest";

import { DEFAULTS, parsePreferences, zoneOf } from "./preferences";

describe("preferences", () => {
  it("come back as they were kept", () => {
    const mine = { ...DEFAULTS, theme: "dark", zone: "site", siteZone: "Europe/Berlin", sound: true } as const;
    expect(parsePreferences(JSON.stringify(mine))).toEqual(mine);
    expect(zoneOf(mine)).toBe("Europe/Berlin");
    expect(zoneOf({ ...mine, zone: "utc" })).toBe("UTC");
    expect(zoneOf({ ...mine, zone: "local" })).toBe(undefined);
  });

  it("are the default where what was kept is not understood", () => {
    const odd = { theme: "pink", zone: 7, siteZone: "Atlantis/Sea", sound: "yes", density: null };
    for (const kept of [null, "", "null", "[", "7", JSON.stringify(odd)]) {
      expect(parsePreferences(kept)).toEqual(DEFAULTS);
    }
  });
});
