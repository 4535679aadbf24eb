// Which metric a rule is about, and with which numbers it compares it: what a chart shows of a rule.
import { fieldsOf } from "./toml";

const COMPARISON = /(`[^`]+`|[A-Za-z_][\w.]*)([^<>=!&]*?)\s*(>=|<=|>|<)\s*(-?\d+(?:\.\d+)?(?![\w.])|[A-Za-z_]\w*)\s*([-+]\s*\d+(?:\.\d+)?(?![\w.]))?/g;

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
        if (Number.isFinite(base)) found.add(base + Number((more ?? "0").replace(/\s/g, "")));
      }
    }
  }
  return [...found];
}
