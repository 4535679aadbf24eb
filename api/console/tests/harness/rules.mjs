// What flows do with rules: their pages, and a history to try them on.
import { until } from "./wait.mjs";

/** The row of a rule in the list. */
export function ruleRow(page, name) {
  return page.locator(`[data-row="${name}"]`);
}

/** Where a rule's text is written. */
export function textOf(page) {
  return page.getByLabel("Text of the rule");
}

export function toml(name, limit, more = "") {
  return `[[rule]]\nname = "${name}"\nwhen = "heat > ${limit}"\nseverity = "critical"\n${more}`;
}

/**
 * Two hours of a past that the flow chooses: `oven-1` is at 95 for ten minutes in its middle, and at 85
 * for five in its last quarter; `oven-2` stays at 20.
 */
export async function seedOvens(service) {
  const end = Date.now() - 10 * 60_000;
  const begin = end - 120 * 60_000;
  const minute = (i) => (i >= 50 && i < 60 ? 95 : i >= 100 && i < 105 ? 85 : 70);
  const posts = [];
  for (let i = 0; i <= 120; i += 1) {
    const ts = new Date(begin + i * 60_000).toISOString();
    posts.push({ device: "oven-1", telemetry: { ts, heat: minute(i) } }, { device: "oven-2", telemetry: { ts, heat: 20 } });
  }
  await service.api("POST", "telemetry", posts);
  return { begin, end };
}

/** Waits until what was sent is stored. */
export async function stored(service, device, n_readings) {
  const from = new Date(Date.now() - 6 * 3_600_000).toISOString();
  await until(`${n_readings} readings of ${device} are stored`, async () => {
    const path = `devices/${device}/readings?metric=heat&from=${encodeURIComponent(from)}&limit=10000`;
    const { readings } = await service.api("GET", path);
    return readings.length >= n_readings;
  });
}
