import { expect, test } from "vitest";

import { pinched } from "./zoom";

test("two fingers keep the instants that were under them", () => {
  // Of 1000 ms on 100 px, those at 25 and 75 px move apart to the edges.
  expect(pinched([{ at: 250, x: 0 }, { at: 750, x: 100 }], 100)).toEqual({ from: 250, to: 750 });
  expect(pinched([{ at: 750, x: 100 }, { at: 250, x: 0 }], 100)).toEqual({ from: 250, to: 750 });
  // Towards one another: more time.
  expect(pinched([{ at: 0, x: 25 }, { at: 1000, x: 75 }], 100)).toEqual({ from: -500, to: 1500 });
  // Both to the right: earlier.
  expect(pinched([{ at: 250, x: 35 }, { at: 750, x: 85 }], 100)).toEqual({ from: -100, to: 900 });
});

test("fingers that meet or cross say nothing", () => {
  expect(pinched([{ at: 250, x: 50 }, { at: 750, x: 60 }], 100)).toBeNull();
  expect(pinched([{ at: 250, x: 80 }, { at: 750, x: 20 }], 100)).toBeNull();
});
