// The map's arithmetic: Mercator's projection, what fits into view, clusters, and the lines of the grid.
// The world is a square of one by one, north on top.
import { type Entry, labelOf } from "./devices";

export interface Place {
  entry: Entry;
  x: number;
  y: number;
}

/** Beyond it Mercator's map has no end. */
const LAT_MAX = 85.05;

export function project(lat: number, lon: number): { x: number; y: number } {
  const sine = Math.sin((Math.min(Math.max(lat, -LAT_MAX), LAT_MAX) * Math.PI) / 180);
  return { x: (lon + 180) / 360, y: 0.5 - Math.log((1 + sine) / (1 - sine)) / (4 * Math.PI) };
}

export function unproject(x: number, y: number): { lat: number; lon: number } {
  return { lat: (Math.atan(Math.sinh(Math.PI * (1 - 2 * y))) * 180) / Math.PI, lon: x * 360 - 180 };
}

/** A coordinate of a label; null for what is none. */
export function coordinate(text: string, most: number): number | null {
  const value = Number(text);
  return text.trim() === "" || !Number.isFinite(value) || Math.abs(value) > most ? null : value;
}

/** The devices whose labels `lat` and `lon` say where they are, in degrees. */
export function placesOf(list: Entry[]): Place[] {
  return list.flatMap((entry) => {
    const [lat, lon] = [coordinate(labelOf(entry, "lat"), 90), coordinate(labelOf(entry, "lon"), 180)];
    return lat === null || lon === null ? [] : [{ entry, ...project(lat, lon) }];
  });
}

/** What the map shows: its middle, and how many px the whole world would be wide. */
export interface View {
  x: number;
  y: number;
  scale: number;
}

export const SCALE_MIN = 200;
export const SCALE_MAX = 2 ** 27;

export function clampView({ x, y, scale }: View): View {
  const within = (value: number): number => Math.min(Math.max(value, 0), 1);
  return { x: within(x), y: within(y), scale: Math.min(Math.max(scale, SCALE_MIN), SCALE_MAX) };
}

/** The view that shows all places with some room around them. */
export function fit(places: readonly { x: number; y: number }[], width: number, height: number): View {
  if (places.length === 0) return { x: 0.5, y: 0.4, scale: Math.max(width, SCALE_MIN) };
  let [west, east, north, south] = [1, 0, 1, 0];
  for (const { x, y } of places) {
    west = Math.min(west, x);
    east = Math.max(east, x);
    north = Math.min(north, y);
    south = Math.max(south, y);
  }
  const room = 0.8;
  // One place alone is shown with about ten kilometres around it.
  const scale = room * Math.min(width / Math.max(east - west, 5e-4), height / Math.max(south - north, 5e-4));
  return clampView({ x: (west + east) / 2, y: (north + south) / 2, scale });
}

/** Zooms by a factor, and what is under (`at_x`, `at_y`), in px from the middle, stays there. */
export function zoom(view: View, factor: number, at_x = 0, at_y = 0): View {
  const scale = Math.min(Math.max(view.scale * factor, SCALE_MIN), SCALE_MAX);
  const shift = 1 / view.scale - 1 / scale;
  return clampView({ x: view.x + at_x * shift, y: view.y + at_y * shift, scale });
}

export interface Cluster {
  key: string;
  /** In px, from the left upper corner. */
  left: number;
  top: number;
  places: Place[];
}

/** The size of a cluster's cell, in px. */
const CELL = 56;

/** The places in view, those near each other as one. Cells lie fast on the world, so that a pan does not regroup. */
export function clusters(places: readonly Place[], view: View, width: number, height: number): Cluster[] {
  const cells = new Map<string, Place[]>();
  const cell = CELL / view.scale;
  const reach = { x: (width / 2 + CELL) / view.scale, y: (height / 2 + CELL) / view.scale };
  for (const place of places) {
    if (Math.abs(place.x - view.x) > reach.x || Math.abs(place.y - view.y) > reach.y) continue;
    const key = `${Math.floor(place.x / cell)}:${Math.floor(place.y / cell)}`;
    const known = cells.get(key);
    if (known === undefined) cells.set(key, [place]);
    else known.push(place);
  }
  const px = (inside: Place[], of: "x" | "y", size: number): number =>
    (inside.reduce((sum, place) => sum + place[of], 0) / inside.length - view[of]) * view.scale + size / 2;
  const found: Cluster[] = [];
  for (const [key, inside] of [...cells].sort(([, a], [, b]) => b.length - a.length)) {
    const [left, top] = [px(inside, "x", width), px(inside, "y", height)];
    // Neighbours on both sides of a cell's edge are one, too.
    const near = found.find((it) => Math.hypot(it.left - left, it.top - top) < CELL * 0.6);
    if (near === undefined) found.push({ key, left, top, places: inside });
    else near.places.push(...inside);
  }
  return found.sort((a, b) => a.top - b.top || a.left - b.left);
}

const STEPS = [60, 30, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 5e-4, 2e-4, 1e-4];

export interface Line {
  /** `48.5° N`. */
  label: string;
  px: number;
}

function degrees(value: number, step: number, [plus, minus]: string): string {
  const digits = Math.max(0, Math.ceil(-Math.log10(step) - 1e-9));
  const name = Math.abs(value) < step / 2 ? "" : ` ${value > 0 ? plus : minus}`;
  return `${Math.abs(value).toFixed(digits)}°${name}`;
}

/** The meridians and parallels of the grid in view, at least 90 px from each other. */
export function graticule(view: View, width: number, height: number): { meridians: Line[]; parallels: Line[] } {
  const apart = (90 / view.scale) * 360;
  const step = STEPS.findLast((it) => it >= apart) ?? 60;
  const corner = unproject(view.x - width / 2 / view.scale, view.y - height / 2 / view.scale);
  const end = unproject(view.x + width / 2 / view.scale, view.y + height / 2 / view.scale);
  const line = (from: number, to: number, most: number, at: (value: number) => number, names: string): Line[] => {
    const lines: Line[] = [];
    const last = Math.min(to, most);
    for (let i = Math.ceil(Math.max(from, -most) / step); i * step <= last; i += 1) {
      lines.push({ label: degrees(i * step, step, names), px: at(i * step) });
    }
    return lines;
  };
  return {
    meridians: line(corner.lon, end.lon, 180, (lon) => (project(0, lon).x - view.x) * view.scale + width / 2, "EW"),
    parallels: line(end.lat, corner.lat, 85, (lat) => (project(lat, 0).y - view.y) * view.scale + height / 2, "NS"),
  };
}

const DIRECTIONS: Readonly<Record<string, readonly [number, number]>> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

/** The cluster that lies next to another in a direction; null if none does. */
export function next(all: readonly Cluster[], from: Cluster, key: string): Cluster | null {
  const [dx, dy] = DIRECTIONS[key] ?? [0, 0];
  let best: { cluster: Cluster; cost: number } | null = null;
  for (const cluster of all) {
    const [x, y] = [cluster.left - from.left, cluster.top - from.top];
    const along = x * dx + y * dy;
    const across = Math.abs(x * dy - y * dx);
    // The four directions together reach every angle.
    if (cluster.key === from.key || along <= 0 || across > 2 * along) continue;
    const cost = along + 2 * across;
    if (best === null || cost < best.cost) best = { cluster, cost };
  }
  return best?.cluster ?? null;
}
