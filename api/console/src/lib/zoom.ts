// Two fingers on a chart: each keeps the instant that was under it.

/** A stretch of time, in ms. */
export interface Span {
  from: number;
  to: number;
}

/** What lies under a finger: an instant, and where the finger is, in px from the chart's left edge. */
export interface Finger {
  at: number;
  x: number;
}

/** Nearer to one another, two fingers say nothing. */
const APART_MIN_PX = 16;

/** The stretch in which both instants lie under their fingers; null if they are too near. */
export function pinched([one, two]: readonly [Finger, Finger], width_px: number): Span | null {
  const [left, right] = one.at < two.at ? [one, two] : [two, one];
  if (right.x - left.x < APART_MIN_PX || right.at === left.at) return null;
  const msPerPx = (right.at - left.at) / (right.x - left.x);
  const from = left.at - left.x * msPerPx;
  return { from, to: from + width_px * msPerPx };
}
