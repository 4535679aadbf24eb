import { describe, expect, it } from "vitest";

import { entries } from "./devices";
import { clusters, coordinate, fit, graticule, next, placesOf, project, SCALE_MAX, unproject, zoom } from "./geo";

const at = (name: string, lat: string, lon: string) => ({
  device: name,
  first_seen: 0,
  last_seen: 0,
  online: true,
  clock_skew_ms: null,
  labels: [["lat", lat], ["lon", lon]] as [string, string][],
});

const places = placesOf(
  entries([at("berlin", "52.52", "13.40"), at("potsdam", "52.39", "13.06"), at("sydney", "-33.87", "151.21"), at("odd", "north", "13"), at("far", "91", "0")]),
);

describe("the map", () => {
  it("knows places by their labels, and not those that are none", () => {
    expect(places.map(({ entry }) => entry.device)).toEqual(["berlin", "potsdam", "sydney"]);
    expect([coordinate("", 90), coordinate("90", 90), coordinate("-90.1", 90)]).toEqual([null, 90, null]);
  });

  it("projects there and back", () => {
    for (const [lat, lon] of [[0, 0], [52.52, 13.4], [-33.87, 151.21]] as const) {
      const { x, y } = project(lat, lon);
      const back = unproject(x, y);
      expect(back.lat).toBeCloseTo(lat, 6);
      expect(back.lon).toBeCloseTo(lon, 6);
    }
    expect(project(0, 0)).toEqual({ x: 0.5, y: 0.5 });
  });

  it("begins with all places in view", () => {
    const view = fit(places, 800, 600);
    for (const { x, y } of places) {
      expect(Math.abs((x - view.x) * view.scale)).toBeLessThan(400);
      expect(Math.abs((y - view.y) * view.scale)).toBeLessThan(300);
    }
    expect(fit(places.slice(0, 1), 800, 600).scale).toBeLessThan(SCALE_MAX);
    expect(fit([], 800, 600).scale).toBe(800);
  });

  it("gathers what is near, and tells it apart from nearer by", () => {
    const far = clusters(places, fit(places, 800, 600), 800, 600);
    expect(far.map(({ places }) => places.length).sort()).toEqual([1, 2]);
    const near = clusters(places, fit(places.slice(0, 2), 800, 600), 800, 600);
    expect(near.map(({ places }) => places[0]?.entry.device).sort()).toEqual(["berlin", "potsdam"]);
  });

  it("keeps what is under the pointer where it is, while it zooms", () => {
    const view = { x: 0.5, y: 0.5, scale: 1000 };
    const nearer = zoom(view, 2, 100, -50);
    expect(nearer.x + 100 / nearer.scale).toBeCloseTo(0.5 + 100 / 1000, 9);
    expect(nearer.y - 50 / nearer.scale).toBeCloseTo(0.5 - 50 / 1000, 9);
    expect(zoom(view, 1e12).scale).toBe(SCALE_MAX);
  });

  it("has a grid of round degrees with room between its lines", () => {
    const { meridians, parallels } = graticule({ x: 0.5, y: 0.5, scale: 1000 }, 800, 600);
    expect(meridians.map(({ label }) => label)).toEqual(["120° W", "60° W", "0°", "60° E", "120° E"]);
    expect(parallels.map(({ label }) => label)).toContain("60° N");
    const near = graticule({ ...project(52.5, 13.4), scale: 1e6 }, 800, 600).meridians;
    for (const [i, { px }] of near.entries()) if (i > 0) expect(px - (near[i - 1]?.px ?? 0)).toBeGreaterThanOrEqual(90);
    expect(near.length).toBeGreaterThan(2);
  });

  it("leads from point to point by the arrows", () => {
    const point = (key: string, left: number, top: number) => ({ key, left, top, places: [] });
    const all = [point("a", 0, 0), point("b", 100, 10), point("c", 40, 200)];
    const [a, b] = all as [(typeof all)[0], (typeof all)[0]];
    expect(next(all, a, "ArrowRight")?.key).toBe("b");
    expect(next(all, a, "ArrowDown")?.key).toBe("c");
    expect(next(all, b, "ArrowLeft")?.key).toBe("a");
    expect(next(all, a, "ArrowUp")).toBe(null);
  });
});
