// The last readings of what alerts are about, for a small line in each row: fetched once for the
// rows in view, then fed by the live readings.
import { parseList, parseReading } from "../parse";
import { client } from "../client";
import { serverNow } from "../clock";
import type { Reading } from "../words";

/** What a line shows. */
export const SPAN_MS = 15 * 60_000;
const POINTS_MAX = 48;
/** The most lines kept; those looked at longest ago leave first. */
const LINES_MAX = 300;

export type Point = readonly [at: number, value: number];

export class Sparks {
  readonly #lines = new Map<string, Point[]>();

  /** The points of a device's metric, the oldest first. */
  of(device: string, metric: string): readonly Point[] {
    return this.#lines.get(`${device}\n${metric}`) ?? [];
  }

  /** History: in front of what came live. */
  load(device: string, metric: string, points: readonly Point[]): void {
    const key = `${device}\n${metric}`;
    const live = this.#lines.get(key) ?? [];
    const end = points.at(-1)?.[0] ?? Number.NEGATIVE_INFINITY;
    this.#lines.delete(key);
    this.#lines.set(key, thinned([...points, ...live.filter(([at]) => at > end)]));
    for (const oldest of this.#lines.keys()) {
      if (this.#lines.size <= LINES_MAX) break;
      this.#lines.delete(oldest);
    }
  }

  /** A live reading; of lines that nobody asked for nothing is kept. */
  add(device: string, { metric, at, value }: Reading): void {
    const line = this.#lines.get(`${device}\n${metric}`);
    if (line === undefined || typeof value !== "number" || (line.at(-1)?.[0] ?? 0) >= at) return;
    line.push([at, value]);
    if (line.length > 2 * POINTS_MAX) this.#lines.set(`${device}\n${metric}`, thinned(line));
  }

  clear(): void {
    this.#lines.clear();
  }
}

/** No more points than a small line shows, the newest among them. */
export function thinned(points: Point[]): Point[] {
  const step = Math.ceil(points.length / POINTS_MAX);
  return step <= 1 ? points : points.filter((_, i) => (points.length - 1 - i) % step === 0);
}

/** The path of a line in a box, `M0 10L4 8…`; empty where there is nothing to draw. */
export function pathOf(points: readonly Point[], now: number, width: number, height: number): string {
  const from = now - SPAN_MS;
  const seen = points.filter(([at]) => at >= from);
  if (seen.length < 2) return "";
  const values = seen.map(([, value]) => value);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const x = (at: number): string => (((at - from) / SPAN_MS) * width).toFixed(1);
  const y = (value: number): string => (high === low ? height / 2 : height - ((value - low) / (high - low)) * height).toFixed(1);
  return `M${seen.map(([at, value]) => `${x(at)} ${y(value)}`).join("L")}`;
}

/** The points of a line, as the service chooses them. */
export async function fetchLine(device: string, metric: string): Promise<Point[]> {
  const now = serverNow();
  const body = await client.get("/api/v1/devices/{id}/readings", {
    path: { id: device },
    query: {
      metric,
      from: new Date(now - SPAN_MS).toISOString(),
      to: new Date(now + 60_000).toISOString(),
      points: POINTS_MAX,
    },
  });
  const readings = parseList("readings" in body ? body.readings : [], parseReading);
  return readings.flatMap(({ at, value }): Point[] => (typeof value === "number" ? [[at, value]] : []));
}
