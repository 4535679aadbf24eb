// What quarantine shows: reasons in words, payloads as text or bytes, and what a replay came to.
import type { Schemas } from "./client";

export type Quarantined = Schemas["Quarantined"];
export type Reason = Quarantined["reason"];

/** `bad_json` as `bad JSON`. */
export function reasonWords(reason: string): string {
  return reason
    .replaceAll("_", " ")
    .replace(/\b(json|cbor|utf8)\b/, (word) => (word === "utf8" ? "UTF-8" : word.toUpperCase()))
    .replace("senml", "SenML")
    .replace("sparkplug", "Sparkplug");
}

/** How many there are of each reason, most first. */
export function countReasons(rows: readonly { reason: string }[]): { reason: string; n: number }[] {
  const counts = new Map<string, number>();
  for (const { reason } of rows) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  return [...counts]
    .map(([reason, n]) => ({ reason, n }))
    .sort((a, b) => b.n - a.n || (a.reason < b.reason ? -1 : 1));
}

const BYTES_PER_LINE = 16;

/** Bytes as lines of `offset  hex  text`. */
export function hexDump(base64: string): string {
  const text = atob(base64);
  const lines: string[] = [];
  for (let at = 0; at < text.length; at += BYTES_PER_LINE) {
    const part = [...text.slice(at, at + BYTES_PER_LINE)];
    const hex = part.map((char) => char.charCodeAt(0).toString(16).padStart(2, "0")).join(" ");
    const shown = part.map((char) => (/[ -~]/.test(char) ? char : "·")).join("");
    lines.push(`${at.toString(16).padStart(4, "0")}  ${hex.padEnd(BYTES_PER_LINE * 3 - 1)}  ${shown}`);
  }
  return lines.join("\n");
}

/** A payload to read, and whether that is its text. */
export function shownPayload(it: Pick<Quarantined, "payload" | "payload_base64">): { text: string; isText: boolean } {
  if (it.payload_base64 != null) return { text: hexDump(it.payload_base64), isText: false };
  // Control characters would not be seen.
  const text = (it.payload ?? "").replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, (char) =>
    char === "\r" ? "␍" : String.fromCharCode(0x2400 + (char.charCodeAt(0) & 31)),
  );
  return { text, isText: true };
}

/** A mapping to begin with for a topic: the level that looks like the device's is the device's. */
export function draftMapping(topic: string, device: string | null): string {
  const levels = topic.split("/");
  const at = device === null ? -1 : levels.indexOf(device);
  const place = at >= 0 ? at : Math.max(0, levels.length - 2);
  const pattern = levels.map((level, i) => (i === place ? "{device}" : level)).join("/");
  return `[[mapping]]\ntopic = ${JSON.stringify(pattern)}\nformat = "json"\n`;
}

export interface Outcome {
  payloads: number;
  readings: number;
  /** How many stay, by reason. */
  left: { reason: string; n: number }[];
  /** There are more than were looked at. */
  more: boolean;
}

type Ask = Omit<Schemas["Replay"], "dry_run" | "cursor" | "limit">;
type Send = (body: Schemas["Replay"]) => Promise<Schemas["Replayed"]>;

/** Replays page after page, at most `pages_max`, or says what would come of it. */
export async function replay(
  send: Send,
  ask: Ask,
  dryRun: boolean,
  pages_max: number,
  heard: (so_far: Outcome) => void = () => undefined,
): Promise<Outcome> {
  const left: { reason: string }[] = [];
  const outcome: Outcome = { payloads: 0, readings: 0, left: [], more: true };
  let cursor: string | null = null;
  for (let page = 0; page < pages_max && outcome.more; page += 1) {
    const answer: Schemas["Replayed"] = await send({ ...ask, dry_run: dryRun, cursor });
    outcome.payloads += answer.replayed;
    outcome.readings += answer.readings;
    left.push(...answer.left);
    outcome.left = countReasons(left);
    cursor = answer.next;
    outcome.more = cursor !== null;
    heard(outcome);
  }
  return outcome;
}
