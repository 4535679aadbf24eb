// What a browser's tab shows: a favicon that the service draws for severity and count, and a title.
import type { Counts } from "./feed";

/** Greater counts are shown as `9+`. */
const COUNT_MAX = 10;

const fileOf = (look: string, count: number): string => `/favicon-${look}-${Math.min(count, COUNT_MAX)}.svg`;

/** The favicon for the present. */
export function faviconOf(counts: Counts, stale: boolean): string {
  if (stale) return "/favicon-stale.svg";
  if (counts.critical > 0) return fileOf("critical", counts.critical);
  if (counts.warning > 0) return fileOf("warning", counts.warning);
  return "/favicon.svg";
}

/** The title of a page for the present: `2 critical, 1 warning · Devices · Bellwire`. */
export function titleOf(counts: Counts, stale: boolean, page: string): string {
  const parts = (["critical", "warning", "info"] as const)
    .filter((severity) => counts[severity] > 0)
    .map((severity) => `${counts[severity]} ${severity}`);
  if (stale) parts.unshift("stale");
  return [parts.join(", "), page, "Bellwire"].filter((part) => part !== "").join(" · ");
}
