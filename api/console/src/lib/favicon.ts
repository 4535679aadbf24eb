// The favicons: one file per severity and count, so that a browser tab tells how many there are
// without a data: URL. Written by the build, chosen by the page.
import type { Counts } from "./feed";

/** Counts above are shown as `9+`. */
const COUNT_MAX = 9;
const COLOURS = { critical: "#d1242f", warning: "#9a6700", stale: "#6b7280", calm: "#0f766e" };

type Look = keyof typeof COLOURS;

function svg(look: Look, label: string): string {
  const bell =
    '<path d="M16 6a7 7 0 0 0-7 7v5l-2 4h18l-2-4v-5a7 7 0 0 0-7-7zm-2.5 18a2.5 2.5 0 0 0 5 0z" fill="#fff"/>';
  const size = label.length > 1 ? 19 : 23;
  const text = `<text x="16" y="24" font-family="sans-serif" font-weight="700" font-size="${size}" fill="#fff" text-anchor="middle">${label}</text>`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="${COLOURS[look]}"/>${label === "" ? bell : text}</svg>\n`;
}

function labelOf(count: number): string {
  return count > COUNT_MAX ? "9+" : String(count);
}

/** Every favicon as [file name, content]. */
export function favicons(): [string, string][] {
  const files: [string, string][] = [
    ["favicon.svg", svg("calm", "")],
    ["favicon-stale.svg", svg("stale", "?")],
  ];
  for (const look of ["critical", "warning"] as const) {
    for (let count = 1; count <= COUNT_MAX + 1; count += 1) {
      files.push([fileOf(look, count), svg(look, labelOf(count))]);
    }
  }
  return files;
}

function fileOf(look: Look, count: number): string {
  return `favicon-${look}-${Math.min(count, COUNT_MAX + 1)}.svg`;
}

/** The favicon for the present. */
export function faviconOf(counts: Counts, stale: boolean): string {
  if (stale) return "/favicon-stale.svg";
  if (counts.critical > 0) return `/${fileOf("critical", counts.critical)}`;
  if (counts.warning > 0) return `/${fileOf("warning", counts.warning)}`;
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
