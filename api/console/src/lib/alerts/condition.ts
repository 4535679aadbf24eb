// What a rule's condition and the reasons of its transitions say: which metrics it is about, and
// where the limits were. The service explains each transition with the numbers that held for the
// device (`avg(temperature, 5m) -9.5 > -15`), so limits are read from there, not from the rule.

/** A comparison that a reason tells of. */
export interface Fact {
  /** What was compared, as the rule writes it. */
  source: string;
  value: number;
  op: "<" | "<=" | ">" | ">=" | "=" | "!=";
  limit: number;
}

const NUMBER = String.raw`[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?`;
const FACT = new RegExp(String.raw`^(.+?) (${NUMBER}) (<=|>=|!=|<|>|=) (${NUMBER})(?![\w.])`);

/** The comparisons of a reason, as `temperature -5 > -15 held for 2m`. */
export function factsOf(reason: string): Fact[] {
  const told = reason.replace(/^(?:now \w+|readings have come again|it can be judged again): /, "");
  return told.split(" and ").flatMap((part) => {
    const [, source, value, op, limit] = FACT.exec(part) ?? [];
    return source === undefined ? [] : [{ source, value: Number(value), op: op as Fact["op"], limit: Number(limit) }];
  });
}

const NAME = /`([^`]+)`|'[^']*'|(?<![\w.])([A-Za-z_][\w./-]*)(\s*\()?/g;
const WORDS = new Set(["and", "or", "not", "by", "offset", "true", "false", "online"]);

/** The names that a condition speaks of, functions and words of the language aside: metrics, and parameters. */
export function namesIn(condition: string): string[] {
  const found = new Set<string>();
  // Labels of groups are no metrics.
  const text = condition.replace(/\bby\s*\([^)]*\)/g, "");
  for (const [, quoted, plain, call] of text.matchAll(NAME)) {
    const name = quoted ?? (call === undefined ? plain : undefined);
    if (name !== undefined && !WORDS.has(name)) found.add(name);
  }
  return [...found];
}

/** The metric that an alert is about: the first of the condition's names that the device has. */
export function metricOf(condition: string, metrics: readonly string[]): string | null {
  return namesIn(condition).find((name) => metrics.includes(name)) ?? null;
}

/** A line in the chart, and on which side of it things are bad. */
export interface Limit {
  value: number;
  bad: "above" | "below" | null;
  /** It is where the alert ends, not where it begins. */
  clears: boolean;
}

/** Whether a compared value is in the unit of the readings: of the metric itself, or a mean of it. */
function isOf(source: string, metric: string): boolean {
  const names = namesIn(source);
  const isLike = !/\b(?:age|changes|count|delta|distance|rate|stddev|sum|zscore)\b\s*(?:by\b|\()/.test(source);
  return isLike && names.length === 1 && names[0] === metric && !/[*/%]/.test(source);
}

const SIDES: Record<Fact["op"], Limit["bad"]> = { ">": "above", ">=": "above", "<": "below", "<=": "below", "=": null, "!=": null };

/**
 * The limits of a metric that these reasons tell of. A reason of an end is the opposite of bad:
 * `temperature -18 <= -17`.
 */
export function limitsOf(reasons: readonly { reason: string; isEnd: boolean }[], metric: string): Limit[] {
  const found = new Map<number, Limit>();
  for (const { reason, isEnd } of reasons) {
    for (const { source, op, limit } of factsOf(reason)) {
      if (!isOf(source, metric) || (found.has(limit) && isEnd)) continue;
      const side = SIDES[op];
      const bad = isEnd && side !== null ? (side === "above" ? "below" : "above") : side;
      found.set(limit, { value: limit, bad, clears: isEnd });
    }
  }
  return [...found.values()];
}

const LINK = /https?:\/\/[^\s<>"')]+/;

/** What an alert says without the link in it, which is shown as one; all of it if that is nothing. */
export function withoutLink(summary: string): string {
  const rest = summary.replace(LINK, "").replace(/[\s,:;(<–-]*(?:see)?[\s,:;(<–-]*[)>.]?$/, "");
  return rest === "" || !LINK.test(summary) ? summary : rest;
}

/** A link to what to do: the label `runbook` of the device, else the first address in what the alert says. */
export function runbookOf(labels: Readonly<Record<string, string>>, summary: string): string | null {
  const said = labels["runbook"] ?? LINK.exec(summary)?.[0] ?? "";
  return /^https?:\/\//.test(said) && URL.canParse(said) ? said : null;
}
