// Reads the service's metrics, in Prometheus' text format: as much of it as the health page needs.

export interface Sample {
  labels: Readonly<Record<string, string>>;
  value: number;
}

/** Samples by name. */
export type Metrics = ReadonlyMap<string, readonly Sample[]>;

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;

function labelsOf(text: string | undefined): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const [, name = "", value = ""] of (text ?? "").matchAll(LABEL)) {
    labels[name] = value.replace(/\\(.)/g, (_, char: string) => (char === "n" ? "\n" : char));
  }
  return labels;
}

/** The samples whose names `wants` says yes to; lines that are none are passed over. */
export function parseMetrics(text: string, wants: (name: string) => boolean): Metrics {
  const found = new Map<string, Sample[]>();
  for (const line of text.split("\n")) {
    if (line === "" || line.startsWith("#") || !wants(/^[\w:]+/.exec(line)?.[0] ?? "")) continue;
    const [, name, labels, value] = LINE.exec(line) ?? [];
    if (name === undefined) continue;
    const sample = { labels: labelsOf(labels), value: value === "+Inf" ? Infinity : Number(value) };
    const list = found.get(name);
    if (list === undefined) found.set(name, [sample]);
    else list.push(sample);
  }
  return found;
}

/** The sum of all samples of a name that have these labels; null if there is none. */
export function total(metrics: Metrics, name: string, labels: Record<string, string> = {}): number | null {
  const wanted = Object.entries(labels);
  const those = metrics.get(name)?.filter((it) => wanted.every(([label, value]) => it.labels[label] === value)) ?? [];
  return those.length === 0 ? null : those.reduce((sum, { value }) => sum + value, 0);
}

/** What was counted between two looks, per second; null where that cannot be said. A counter that fell began anew. */
export function rate(before: number | null, after: number | null, seconds: number): number | null {
  if (before === null || after === null || seconds <= 0) return null;
  return (after < before ? after : after - before) / seconds;
}

/** The counts of a histogram up to each bound, all its labels together. */
export function buckets(metrics: Metrics, name: string): Map<number, number> {
  const counts = new Map<number, number>();
  for (const { labels, value } of metrics.get(`${name}_bucket`) ?? []) {
    const bound = labels["le"] === "+Inf" ? Infinity : Number(labels["le"]);
    counts.set(bound, (counts.get(bound) ?? 0) + value);
  }
  return counts;
}

/** What came in between two looks at a histogram; all of it if it began anew. */
export function since(before: Map<number, number>, after: Map<number, number>): Map<number, number> {
  const began = [...after].some(([bound, n]) => n < (before.get(bound) ?? 0));
  return new Map([...after].map(([bound, n]) => [bound, n - (began ? 0 : (before.get(bound) ?? 0))]));
}

/** The value that a part `q` of a histogram's observations is below, between its bounds by a straight
    line; null where nothing was observed, the last finite bound where it is beyond. */
export function quantile(q: number, counts: Map<number, number>): number | null {
  const bounds = [...counts].sort(([a], [b]) => a - b);
  const all = bounds.at(-1)?.[1] ?? 0;
  if (all <= 0) return null;
  let [low, below] = [0, 0];
  for (const [bound, n] of bounds) {
    if (n >= q * all) {
      return bound === Infinity || n === below ? low : low + ((bound - low) * (q * all - below)) / (n - below);
    }
    [low, below] = [bound, n];
  }
  return low;
}
