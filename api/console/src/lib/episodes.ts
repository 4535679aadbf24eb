// The stretches of time in which alerts held, for a chart.
import { type Alert, isOver, type Severity } from "./words";

export interface Episode {
  id: string;
  rule: string;
  severity: Severity;
  from: number;
  /** Null while it lasts. */
  to: number | null;
}

/** The episodes of some alerts, each once; those that never fired did not hold. */
export function episodesOf(...lists: readonly Alert[][]): Episode[] {
  const episodes = new Map<string, Episode>();
  for (const { id, rule, severity, state, since, fired_at, resolved_at } of lists.flat()) {
    const from = fired_at ?? (isOver(state) || state === "pending" ? null : since);
    if (episodes.has(id) || from === null) continue;
    episodes.set(id, { id, rule, severity, from, to: isOver(state) ? (resolved_at ?? since) : null });
  }
  return [...episodes.values()].sort((a, b) => a.from - b.from);
}

/** Those that held at an instant. */
export function holding(episodes: readonly Episode[], at: number): Episode[] {
  return episodes.filter(({ from, to }) => from <= at && (to === null || at <= to));
}
