// What the reader prefers, kept in this browser. Without storage (a private window) it lasts as
// long as the page.

export const THEMES = ["system", "dark", "light"] as const;
export const ZONES = ["local", "utc", "site"] as const;
export const DENSITIES = ["comfortable", "compact"] as const;

export interface Preferences {
  theme: (typeof THEMES)[number];
  zone: (typeof ZONES)[number];
  /** The time zone of the site, as `Europe/Berlin`. */
  siteZone: string;
  /** A tone for each new critical alert. */
  sound: boolean;
  /** The system's notification of it, while the page is hidden. */
  notifications: boolean;
  density: (typeof DENSITIES)[number];
}

export const DEFAULTS: Preferences = {
  theme: "system",
  zone: "local",
  siteZone: "UTC",
  sound: false,
  notifications: false,
  density: "comfortable",
};

export const KEY = "bellwire-preferences";

/** Whether browsers know the time zone. */
export function isZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

/** Reads what was kept; what is not understood is the default. */
export function parsePreferences(kept: string | null): Preferences {
  let json: Partial<Record<keyof Preferences, unknown>> = {};
  try {
    const read: unknown = JSON.parse(kept ?? "{}");
    if (typeof read === "object" && read !== null) json = read;
  } catch {
    // As if nothing was kept.
  }
  const { siteZone } = json;
  return {
    theme: THEMES.find((it) => it === json.theme) ?? DEFAULTS.theme,
    zone: ZONES.find((it) => it === json.zone) ?? DEFAULTS.zone,
    siteZone: typeof siteZone === "string" && isZone(siteZone) ? siteZone : DEFAULTS.siteZone,
    sound: json.sound === true,
    notifications: json.notifications === true,
    density: DENSITIES.find((it) => it === json.density) ?? DEFAULTS.density,
  };
}

/** The time zone that times are shown in; undefined: this machine's. */
export function zoneOf({ zone, siteZone }: Preferences): string | undefined {
  return zone === "local" ? undefined : zone === "utc" ? "UTC" : siteZone;
}

/** The name of that time zone, as `Europe/Berlin`. */
export function zoneName(preferences: Preferences): string {
  return zoneOf(preferences) ?? Intl.DateTimeFormat().resolvedOptions().timeZone;
}
