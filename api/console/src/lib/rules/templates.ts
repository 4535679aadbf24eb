// A small cookbook: rules to begin with. What they say is of the fleet that is there, as far as it is known.

export interface Template {
  id: string;
  title: string;
  text: string;
  /** The rule, about a metric and a label of the fleet. */
  toml: (metric: string, label: string) => string;
}

function rule(name: string, lines: string[]): string {
  return ["[[rule]]", `name = "${name}"`, ...lines, ""].join("\n");
}

const asName = (metric: string): string => metric.replace(/[^A-Za-z0-9]+/g, "-").replace(/^-|-$/g, "").toLowerCase() || "value";
const asMetric = (metric: string): string => (/^[A-Za-z_][\w.]*$/.test(metric) ? metric : `\`${metric}\``);

export const TEMPLATES: readonly Template[] = [
  {
    id: "threshold",
    title: "Threshold",
    text: "A value is above a limit for some time.",
    toml: (metric) =>
      rule(`${asName(metric)}-high`, [
        `when = "${asMetric(metric)} > limit"`,
        'for = "2m"',
        'severity = "warning"',
        "params = { limit = 80 }",
        'summary = "{device}: {value}, above {param:limit}"',
      ]),
  },
  {
    id: "hysteresis",
    title: "Hysteresis",
    text: "Fires above one limit, and clears only below another: it does not flutter.",
    toml: (metric) =>
      rule(`${asName(metric)}-hot`, [
        `when = "avg(${asMetric(metric)}, 5m) > limit"`,
        `clear = "avg(${asMetric(metric)}, 5m) < limit - 5"`,
        'for = "1m"',
        'keep_firing_for = "2m"',
        'severity = "critical"',
        "params = { limit = 80 }",
        'summary = "{device}: {value}, limit {param:limit}"',
      ]),
  },
  {
    id: "rate",
    title: "Rate of change",
    text: "A counter grows faster than it should, per second.",
    toml: (metric) =>
      rule(`${asName(metric)}-rising`, [
        `when = "rate(${asMetric(metric)}, 5m) > 0.5"`,
        'for = "5m"',
        'severity = "warning"',
        'summary = "{device} rises by {value} per second"',
      ]),
  },
  {
    id: "nodata",
    title: "No data",
    text: "A device has fallen silent.",
    toml: (metric) =>
      rule(`${asName(metric)}-silent`, [
        `when = "absent(${asMetric(metric)}, 10m)"`,
        'severity = "critical"',
        'summary = "{device} has sent nothing for 10 minutes"',
      ]),
  },
  {
    id: "group",
    title: "Average of a group",
    text: "One alert for each site, or whatever a label tells apart.",
    toml: (metric, label) =>
      rule(`${asName(metric)}-of-${asName(label)}`, [
        `when = "avg by (${label}) (${asMetric(metric)}) > 80"`,
        'for = "5m"',
        'severity = "warning"',
        'summary = "{device} is at {value} on average"',
      ]),
  },
  {
    id: "offline",
    title: "Offline",
    text: "A device has lost its connection and does not come back.",
    toml: () =>
      rule("offline", ['when = "online = false"', 'for = "5m"', 'severity = "warning"', 'summary = "{device} is offline"']),
  },
];

/** The text of a rule under another name. */
export function copyOf(toml: string): string {
  return toml.replace(/^(\s*name\s*=\s*)(["'])(.*?)\2/m, (_, head: string, mark: string, name: string) => `${head}${mark}${name}-copy${mark}`);
}
