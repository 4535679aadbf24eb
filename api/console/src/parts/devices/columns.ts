// The columns of the list of devices, which its head and its rows share.
import type { Order } from "../../lib/devices";

/** A value older than this is told from those that are fresh. */
export const STALE_MS = 5 * 60_000;

export interface Column {
  label: string;
  /** What a press on its head orders by. */
  order: Order | null;
  width: string;
  end?: boolean;
}

const FIXED: readonly Column[] = [
  { label: "Device", order: "name", width: "minmax(150px, 1.3fr)" },
  { label: "Labels", order: null, width: "minmax(120px, 1.6fr)" },
  { label: "Presence", order: "presence", width: "84px" },
  { label: "Last seen", order: "seen", width: "104px", end: true },
  { label: "Clock", order: "clock", width: "112px" },
  { label: "Alerts", order: "alerts", width: "104px" },
];

/** The columns where these metrics have one each; without any, one for all values. */
export function columnsOf(metrics: readonly string[]): Column[] {
  const values: Column[] = metrics.map((metric) => ({
    label: metric,
    order: `m:${metric}`,
    width: "minmax(90px, 0.6fr)",
    end: true,
  }));
  const all: Column = { label: "Latest values", order: null, width: "minmax(180px, 2fr)" };
  return [...FIXED, ...(values.length === 0 ? [all] : values)];
}

export function templateOf(columns: readonly Column[]): string {
  return columns.map(({ width }) => width).join(" ");
}
