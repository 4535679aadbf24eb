// The list of rules: what is firing of each, which are shown, and in which order.
import type { Schemas } from "../client";
import { type Alert, isOver, SEVERITIES, type Severity } from "../words";

export type Rule = Schemas["Rule"];

export const STATES = ["enabled", "disabled", "firing", "problem"] as const;
export type State = (typeof STATES)[number];
export const ORDERS = ["name", "firing", "severity", "changed"] as const;
export type Order = (typeof ORDERS)[number];

export interface Counts {
  firing: number;
  pending: number;
}

export interface Filter {
  q: string;
  severity: Severity | null;
  source: "file" | "api" | null;
  state: State | null;
}

const NONE: Counts = { firing: 0, pending: 0 };

/** What each rule's alerts come to. */
export function countsOf(alerts: readonly Alert[]): Map<string, Counts> {
  const counts = new Map<string, Counts>();
  for (const { rule, state } of alerts) {
    if (isOver(state)) continue;
    const known = counts.get(rule) ?? { ...NONE };
    if (state === "pending") known.pending += 1;
    else known.firing += 1;
    counts.set(rule, known);
  }
  return counts;
}

function fits(rule: Rule, counts: Counts, state: State | null): boolean {
  switch (state) {
    case "enabled":
      return rule.enabled;
    case "disabled":
      return !rule.enabled;
    case "firing":
      return counts.firing + counts.pending > 0;
    case "problem":
      return rule.problem !== null;
    default:
      return true;
  }
}

/** Those that are wanted: every word is in the name, the condition or the selection. */
export function filterRules(rules: readonly Rule[], filter: Filter, counts: ReadonlyMap<string, Counts>): Rule[] {
  const words = filter.q.toLowerCase().split(/\s+/).filter((word) => word !== "");
  return rules.filter((rule) => {
    if (filter.severity !== null && rule.severity !== filter.severity) return false;
    if (filter.source !== null && rule.source !== filter.source) return false;
    if (!fits(rule, counts.get(rule.name) ?? NONE, filter.state)) return false;
    const haystack = `${rule.name} ${rule.when} ${rule.select ?? ""}`.toLowerCase();
    return words.every((word) => haystack.includes(word));
  });
}

export function orderRules(rules: readonly Rule[], order: Order, counts: ReadonlyMap<string, Counts>): Rule[] {
  const byName = (a: Rule, b: Rule): number => a.name.localeCompare(b.name, "en", { numeric: true });
  const busy = ({ name }: Rule): number => {
    const { firing, pending } = counts.get(name) ?? NONE;
    return firing * 1_000_000 + pending;
  };
  const bad = ({ severity }: Rule): number => SEVERITIES.indexOf(severity);
  const compare: Record<Order, (a: Rule, b: Rule) => number> = {
    name: byName,
    firing: (a, b) => busy(b) - busy(a),
    severity: (a, b) => bad(a) - bad(b),
    changed: (a, b) => Date.parse(b.updated_at ?? "1970-01-01") - Date.parse(a.updated_at ?? "1970-01-01"),
  };
  return rules.toSorted((a, b) => compare[order](a, b) || byName(a, b));
}
