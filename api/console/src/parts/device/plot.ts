// Draws a chart onto a canvas: grid and axes, the time during which alerts held, and for each metric its
// band and its line.
import { padded, type Tick, timeTicks, valueTicks } from "../../lib/axes";
import type { Episode } from "../../lib/episodes";
import type { Columns } from "../../lib/series";
import type { Severity } from "../../lib/words";

/** Drawn as a broken line, and always in view. */
export interface Mark {
  value: number;
  /** What stands beside it. */
  label?: string;
  /** The side that is bad is tinted with this severity's colour. */
  bad?: "above" | "below" | null;
  severity?: Severity;
}

export interface Line {
  metric: string;
  unit: string | undefined;
  /** A colour of the style sheet. */
  colour: string;
  columns: Columns;
  limits?: readonly Mark[];
}

/** What is drawn. Times are in ms. */
export interface Drawing {
  lines: readonly Line[];
  from: number;
  to: number;
  episodes: readonly Episode[];
  zone: string | undefined;
}

/** Where the drawing lies within the canvas, in px. */
export interface Area {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** Lines of one unit share a scale; one without a unit has its own. */
interface Scale {
  key: string;
  lines: Line[];
  low: number;
  high: number;
  ticks: Tick[];
}

/** Beyond these a scale's labels have no room: its values are in the readout. */
const AXES_MAX = 2;
/** Charts one above the other begin at the same place, unless a label is very long. */
const ROOM_MIN = 36;
const FONT = "12px";

function scalesOf(lines: readonly Line[], height: number): Scale[] {
  const scales = new Map<string, Scale>();
  for (const line of lines) {
    const key = line.unit === undefined ? `m ${line.metric}` : `u ${line.unit}`;
    const scale = scales.get(key) ?? { key, lines: [], low: Infinity, high: -Infinity, ticks: [] };
    scales.set(key, scale);
    scale.lines.push(line);
    for (const { value } of line.limits ?? []) {
      scale.low = Math.min(scale.low, value);
      scale.high = Math.max(scale.high, value);
    }
    for (const value of line.columns[2]) if (value !== null && value < scale.low) scale.low = value;
    for (const value of line.columns[3]) if (value !== null && value > scale.high) scale.high = value;
  }
  for (const scale of scales.values()) {
    [scale.low, scale.high] = padded(scale.low, scale.high);
    scale.ticks = valueTicks(scale.low, scale.high, height / 40);
  }
  return [...scales.values()];
}

/** Draws all, and says where. `colour` gives a colour of the style sheet. */
export function draw(
  canvas: HTMLCanvasElement,
  size: { width: number; height: number },
  { lines, from, to, episodes, zone }: Drawing,
  colour: (name: string) => string,
): Area {
  const dots = devicePixelRatio;
  const [width, height] = [Math.round(size.width * dots), Math.round(size.height * dots)];
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  const ctx = canvas.getContext("2d");
  const empty = { left: 0, top: 0, ...size };
  if (ctx === null || size.width === 0) return empty;
  ctx.setTransform(dots, 0, 0, dots, 0, 0);
  ctx.clearRect(0, 0, size.width, size.height);
  ctx.font = `${FONT} ${getComputedStyle(canvas).fontFamily}`;
  const scales = scalesOf(lines, size.height - 36);
  const room = ({ ticks }: Scale): number => Math.max(ROOM_MIN, ...ticks.map(({ label }) => ctx.measureText(label).width)) + 12;
  const [first, second] = scales.slice(0, AXES_MAX);
  const left = first === undefined ? 0 : room(first);
  const right = second === undefined ? 8 : room(second);
  const area = { left, top: 8, width: Math.max(1, size.width - left - right), height: Math.max(1, size.height - 36) };
  const x = (at: number): number => left + ((at - from) / (to - from)) * area.width;
  const y = (scale: Scale, value: number): number =>
    area.top + (1 - (value - scale.low) / (scale.high - scale.low)) * area.height;

  ctx.save();
  ctx.beginPath();
  ctx.rect(area.left, area.top - 2, area.width, area.height + 4);
  ctx.clip();
  for (const episode of episodes) {
    const [begin, end] = [x(episode.from), x(episode.to ?? to)];
    if (end < area.left || begin > area.left + area.width) continue;
    ctx.fillStyle = colour(episode.severity);
    ctx.globalAlpha = 0.1;
    ctx.fillRect(begin, area.top, Math.max(1, end - begin), area.height);
    ctx.globalAlpha = 0.7;
    ctx.fillRect(begin, area.top, 1, area.height);
  }
  ctx.restore();

  ctx.lineWidth = 1;
  ctx.strokeStyle = colour("line");
  ctx.textBaseline = "middle";
  const rule = (x0: number, y0: number, x1: number, y1: number): void => {
    ctx.beginPath();
    ctx.moveTo(Math.round(x0) + 0.5, Math.round(y0) + 0.5);
    ctx.lineTo(Math.round(x1) + 0.5, Math.round(y1) + 0.5);
    ctx.stroke();
  };
  ctx.textAlign = "center";
  ctx.fillStyle = colour("muted");
  for (const { at, label } of timeTicks(from, to, Math.max(2, area.width / 80), zone)) {
    rule(x(at), area.top, x(at), area.top + area.height);
    const half = ctx.measureText(label).width / 2;
    if (x(at) + half < size.width) ctx.fillText(label, x(at), area.top + area.height + 16);
  }
  for (const [i, scale] of [first, second].entries()) {
    if (scale === undefined) continue;
    ctx.textAlign = i === 0 ? "right" : "left";
    // A scale of one line among several has its colour.
    const [only] = scale.lines;
    ctx.fillStyle = colour(scale.lines.length === 1 && lines.length > 1 ? (only?.colour ?? "muted") : "muted");
    for (const { at, label } of scale.ticks) {
      if (i === 0) rule(area.left, y(scale, at), area.left + area.width, y(scale, at));
      ctx.fillText(label, i === 0 ? area.left - 8 : area.left + area.width + 8, y(scale, at));
    }
  }

  const limit = ({ label, bad, severity }: Mark, at: number): void => {
    const end = area.top + area.height;
    ctx.fillStyle = ctx.strokeStyle = colour(severity ?? "text");
    ctx.globalAlpha = 0.07;
    if (bad) ctx.fillRect(area.left, bad === "above" ? area.top : at, area.width, bad === "above" ? at - area.top : end - at);
    ctx.globalAlpha = ctx.lineWidth = 1;
    ctx.setLineDash([5, 4]);
    rule(area.left, at, area.left + area.width, at);
    ctx.setLineDash([]);
    ctx.textAlign = "left";
    if (label !== undefined) ctx.fillText(label, area.left + 6, at - 9);
  };

  ctx.save();
  ctx.beginPath();
  ctx.rect(area.left, area.top - 2, area.width, area.height + 4);
  ctx.clip();
  for (const scale of scales) {
    for (const line of scale.lines) {
      trace(ctx, line.columns, colour(line.colour), (at) => x(at * 1000), (value) => y(scale, value));
      for (const mark of line.limits ?? []) limit(mark, y(scale, mark.value));
    }
  }
  ctx.restore();
  return area;
}

/** One line with its band; where it is broken it begins anew, and a point alone is a dot. */
function trace(
  ctx: CanvasRenderingContext2D,
  [times, means, lows, highs]: Columns,
  ink: string,
  x: (at: number) => number,
  y: (value: number) => number,
): void {
  ctx.strokeStyle = ink;
  ctx.fillStyle = ink;
  ctx.lineWidth = 1.75;
  ctx.lineJoin = "round";
  let begin = 0;
  for (let end = 0; end <= times.length; end += 1) {
    if (end < times.length && means[end] !== null) continue;
    if (end - begin === 1) {
      ctx.beginPath();
      ctx.arc(x(times[begin] ?? 0), y(means[begin] ?? 0), 2.5, 0, 7);
      ctx.fill();
    } else if (end > begin) {
      ctx.beginPath();
      for (let i = begin; i < end; i += 1) ctx.lineTo(x(times[i] ?? 0), y(highs[i] ?? 0));
      for (let i = end - 1; i >= begin; i -= 1) ctx.lineTo(x(times[i] ?? 0), y(lows[i] ?? 0));
      ctx.globalAlpha = 0.16;
      ctx.fill();
      ctx.globalAlpha = 1;
      ctx.beginPath();
      for (let i = begin; i < end; i += 1) ctx.lineTo(x(times[i] ?? 0), y(means[i] ?? 0));
      ctx.stroke();
    }
    begin = end + 1;
  }
}
