// What is asked of the server for a stretch of time: readings as they are, or buckets as long as a
// chart can show.

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Up to this length each reading is drawn. */
const RAW_MAX_MS = 20 * MINUTE;
/** The most buckets of a chart: more are narrower than a dot. */
const BUCKETS_MAX = 720;
/** Readings of one metric that a chart gets at most; of more, the extremes are chosen. */
export const POINTS_MAX = 4_000;

const BUCKETS: readonly [string, number][] = [
  ["10s", 10 * SECOND],
  ["30s", 30 * SECOND],
  ["1m", MINUTE],
  ["5m", 5 * MINUTE],
  ["15m", 15 * MINUTE],
  ["1h", HOUR],
  ["6h", 6 * HOUR],
  ["1d", DAY],
  ["7d", 7 * DAY],
];

export interface Bucketing {
  name: string;
  length_ms: number;
}

/** The buckets for a stretch of time; null for the readings themselves. */
export function bucketFor(length_ms: number): Bucketing | null {
  if (length_ms <= RAW_MAX_MS) return null;
  const [name, bucket_ms] = BUCKETS.find(([, bucket_ms]) => length_ms / bucket_ms <= BUCKETS_MAX) ?? ["30d", 30 * DAY];
  return { name, length_ms: bucket_ms };
}

export interface Span {
  from: number;
  to: number;
}

/** The shortest stretch that one can zoom into. */
const SPAN_MIN_MS = 2 * SECOND;
/** Before this nothing was measured. */
const BEGINNING = Date.UTC(2000, 0, 1);

/** The stretch moved by a part of its length, or made longer or shorter around its middle; never beyond `now`. */
export function shifted({ from, to }: Span, by: { move?: number; zoom?: number }, now: number): Span {
  const half = Math.max(SPAN_MIN_MS / 2, ((to - from) / 2) * (by.zoom ?? 1));
  const middle = (from + to) / 2 + (to - from) * (by.move ?? 0);
  const end = Math.min(middle + half, now);
  return { from: Math.round(Math.max(BEGINNING, end - 2 * half)), to: Math.round(end) };
}

/** `3 h 20 m` for what a chart says of a stretch that is none of the usual. */
export function lengthOf({ from, to }: Span): string {
  const length = to - from;
  if (length < 2 * MINUTE) return `${Math.round(length / SECOND)} s`;
  if (length < 2 * HOUR) return `${Math.round(length / MINUTE)} m`;
  return length < 2 * DAY ? `${Math.round(length / HOUR)} h` : `${Math.round(length / DAY)} d`;
}
