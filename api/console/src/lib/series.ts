// The points of one chart: history first, then live readings, folded into the same buckets.
import type { Bucket } from "./words";

/** The most points kept: the oldest leave first. */
export const POINTS_MAX = 20_000;

/** Times in seconds, mean, lowest and highest; null where the line is broken. */
export type Columns = [number[], (number | null)[], (number | null)[], (number | null)[]];

interface Point extends Bucket {
  n: number;
}

/** The index of the point of some columns that is nearest to an instant, in ms; null where there is none. */
export function nearest([times, values]: Columns, at: number): number | null {
  let [low, high] = [0, times.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((times[middle] ?? 0) * 1000 < at) low = middle + 1;
    else high = middle;
  }
  const away = (i: number): number => (typeof values[i] === "number" ? Math.abs((times[i] ?? 0) * 1000 - at) : Infinity);
  // Beside a break stands a point.
  const best = [low - 2, low - 1, low, low + 1].reduce((a, b) => (away(b) < away(a) ? b : a));
  return away(best) === Infinity ? null : best;
}

export class Series {
  readonly #bucket_ms: number | null;
  #points: Point[] = [];

  constructor(bucket_ms: number | null) {
    this.#bucket_ms = bucket_ms;
  }

  /** History, in any order; what came live while it was fetched stays. */
  load(history: Bucket[]): void {
    const live = this.#points;
    this.#points = history.map((bucket) => ({ n: 1, ...bucket })).sort((a, b) => a.at - b.at);
    const end = this.#points.at(-1)?.at ?? Number.NEGATIVE_INFINITY;
    for (const point of live) if (point.at > end) this.#points.push(point);
    this.#bound();
  }

  /** A live reading. Late ones find their place; one at the same instant replaces. */
  add(at: number, value: number): void {
    const start = this.#bucket_ms === null ? at : Math.floor(at / this.#bucket_ms) * this.#bucket_ms;
    const index = this.#after(start);
    const known = this.#points[index - 1];
    if (known === undefined || known.at !== start) {
      this.#points.splice(index, 0, { at: start, avg: value, min: value, max: value, n: 1 });
      this.#bound();
    } else if (this.#bucket_ms === null) {
      Object.assign(known, { avg: value, min: value, max: value });
    } else {
      known.avg += (value - known.avg) / (known.n + 1);
      known.n += 1;
      known.min = Math.min(known.min, value);
      known.max = Math.max(known.max, value);
    }
  }

  /** What lies in `from..`, with a break wherever the device was silent. */
  columns(from: number): Columns {
    const points = this.#points.slice(Math.max(0, this.#after(from) - 1));
    const silence = this.#silence(points);
    const columns: Columns = [[], [], [], []];
    const push = (at: number, values: [number | null, number | null, number | null]): void => {
      columns[0].push(at / 1000);
      columns[1].push(values[0]);
      columns[2].push(values[1]);
      columns[3].push(values[2]);
    };
    let before: Point | undefined;
    for (const point of points) {
      if (before !== undefined && point.at - before.at > silence) {
        push((before.at + point.at) / 2, [null, null, null]);
      }
      push(point.at, [point.avg, point.min, point.max]);
      before = point;
    }
    return columns;
  }

  /** The last value, and the lowest and highest, from `from` on. */
  extent(from: number): { last: number; min: number; max: number } | null {
    const points = this.#points.filter(({ at }) => at >= from);
    const last = points.at(-1);
    if (last === undefined) return null;
    return {
      last: last.avg,
      min: points.reduce((min, point) => Math.min(min, point.min), last.min),
      max: points.reduce((max, point) => Math.max(max, point.max), last.max),
    };
  }

  get length(): number {
    return this.#points.length;
  }

  /** A pause of more than this is a break: ten usual steps, at least half a minute. */
  #silence(points: Point[]): number {
    if (this.#bucket_ms !== null) return 2.5 * this.#bucket_ms;
    const recent = points.slice(-500);
    const steps = recent.slice(1).map((point, i) => point.at - (recent[i]?.at ?? point.at));
    const usual = steps.sort((a, b) => a - b)[Math.floor(steps.length / 2)] ?? 0;
    return Math.max(30_000, 10 * usual);
  }

  /** The index behind the last point at or before `at`. */
  #after(at: number): number {
    let [low, high] = [0, this.#points.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#points[middle]?.at ?? 0) <= at) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #bound(): void {
    if (this.#points.length > POINTS_MAX) this.#points.splice(0, this.#points.length - POINTS_MAX);
  }
}
