// Which metric a rule is about, and with which numbers it compares it: what a chart shows of a rule.
import { namesIn } from "../alerts/condition";
import { fieldsOf } from "./toml";

const COMPARISON = /(`[^`]+`|[A-Za-z_][\w.]*)([^<>=!&]*?)\s*(>=|<=|>|<)\s*(-?\d+(?:\.\d+)?(?![\w.])|[A-Za-z_]\w*)\s*([-+]\s*\d+(?:\.\d+)?(?![\w.]))?/g;

/** What is added to a limit: `- 2`. */
const shift = (more: string | undefined): number => Number((more ?? "0").replace(/\s/g, ""));

/** Names for numbers that a rule has. */
export function paramsOf(written: string): Map<string, number> {
  const pairs = [...written.matchAll(/([\w-]+)\s*=\s*(-?\d+(?:\.\d+)?)(?![\w.])/g)];
  return new Map(pairs.map(([, name, value]) => [name!, Number(value)]));
}

/** The metrics of a condition that are among those that are known. */
export function metricsOf(expression: string, known: readonly string[]): string[] {
  const names = [...expression.matchAll(/`([^`]+)`|([A-Za-z_][\w.]*)/g)].map(([, quoted, name]) => quoted ?? name!);
  return [...new Set(names)].filter((name) => known.includes(name));
}

/** A comparison: of which metric, and from where on it holds. */
export interface Bound {
  metric: string;
  isAbove: boolean;
  limit: number;
  /** What is compared is how fast it changes. */
  isRate: boolean;
}

/** What must hold together for a rule to fire, as far as it is compared with numbers. */
export function boundsOf(toml: string): Bound[] {
  const fields = fieldsOf(toml);
  const params = paramsOf(fields.get("params")?.value ?? "");
  const text = fields.get("when")?.value ?? /["'](.*?)["']/.exec(fields.get("levels")?.value ?? "")?.[1] ?? "";
  return text.split(/\bor\b/)[0]!.split(/\band\b/).flatMap((part) => {
    const metric = namesIn(part).find((name) => !params.has(name));
    const [, , , op, right, more] = [...part.matchAll(COMPARISON)][0] ?? [];
    const limit = (params.get(right!) ?? Number(right)) + shift(more);
    if (metric === undefined || op === undefined || !Number.isFinite(limit)) return [];
    return [{ metric, isAbove: op.startsWith(">"), limit, isRate: /\b(rate|delta|changes)\b/.test(part) }];
  });
}

/** The numbers with which `metric`, or what a function makes of it, is compared. */
export function thresholdsOf(toml: string, metric: string): number[] {
  const fields = fieldsOf(toml);
  const params = paramsOf(fields.get("params")?.value ?? "");
  const found = new Set<number>();
  for (const key of ["when", "clear", "levels"]) {
    // Each side of `and` and `or` is a comparison of its own.
    for (const part of (fields.get(key)?.value ?? "").split(/\b(?:and|or)\b|["']\s*,/)) {
      if (!metricsOf(part, [metric]).includes(metric)) continue;
      // A rate or a count is no value of the metric.
      if (/\b(rate|count|changes|age|absent|zscore|stddev|delta|sum)\b/.test(part)) continue;
      for (const [, , , , right, more] of part.matchAll(COMPARISON)) {
        const base = params.get(right!) ?? Number(right);
        if (Number.isFinite(base)) found.add(base + shift(more));
      }
    }
  }
  return [...found];
}
