// A backtest as the service tells it, line by line, and how what it found is drawn.
import { client, ApiError, problemOf } from "../client";
import { parseTime } from "../parse";
import { SEVERITIES, type Severity } from "../words";

/** One time that an alert would have fired. */
export interface Episode {
  device: string;
  severity: Severity;
  fired_at: number;
  /** Null: it had not ended where the readings end. */
  ended_at: number | null;
  length_ms: number;
  value: number | null;
  reason: string;
}

/** How an episode stands to the rule that is in force. */
export type Change = "same" | "new" | "gone" | "longer" | "shorter" | "moved";

export interface Judged extends Episode {
  change: Change | null;
  /** By how much it is longer; below zero: shorter. */
  by_ms: number;
}

export interface Outcome {
  from: number | null;
  to: number | null;
  n_readings: number;
  n_fired: number;
  n_devices: number;
  /** How often the condition began to hold and ended before it fired. */
  n_held_short: number;
  total_ms: number;
  longest_ms: number;
  share: number;
  flap_share: number;
  episodes: Judged[];
  n_left_out: number;
  /** Null where nothing was compared: the rule in force was tried, or there is none. */
  difference: { n_same: number; n_new: number; n_gone: number; n_moved: number } | null;
}

export interface Progress {
  n_readings: number;
  n_expected: number;
  at: number | null;
  n_fired: number;
}

type Json = Record<string, unknown>;

const number = (value: unknown): number => (typeof value === "number" && Number.isFinite(value) ? value : 0);
const list = (value: unknown): Json[] => (Array.isArray(value) ? (value as Json[]) : []);

function episodeOf(json: Json): Episode {
  const ended_at = parseTime(json["ended_at"]);
  return {
    device: String(json["device"]),
    severity: SEVERITIES.find((word) => word === json["severity"]) ?? "warning",
    fired_at: parseTime(json["fired_at"]) ?? 0,
    ended_at,
    length_ms: number(json["secs"]) * 1000,
    value: typeof json["value"] === "number" ? json["value"] : null,
    reason: typeof json["reason"] === "string" ? json["reason"] : "",
  };
}

const keyOf = ({ device, fired_at }: Episode): string => `${fired_at} ${device}`;

/** Below this, two episodes last as long. */
const SAME_MS = 1_000;

function judge(episodes: Episode[], difference: Json | null): Judged[] {
  if (difference === null) return episodes.map((it) => ({ ...it, change: null, by_ms: 0 }));
  const fresh = new Set(list(difference["episodes_only_tried"]).map((it) => keyOf(episodeOf(it))));
  const moved = new Map<string, number>();
  for (const pair of list(difference["episodes_moved"])) {
    const [tried, running] = [episodeOf(pair["tried"] as Json), episodeOf(pair["running"] as Json)];
    moved.set(keyOf(tried), tried.length_ms - running.length_ms);
  }
  const found = episodes.map((it): Judged => {
    const by_ms = moved.get(keyOf(it));
    if (fresh.has(keyOf(it))) return { ...it, change: "new", by_ms: 0 };
    if (by_ms === undefined) return { ...it, change: "same", by_ms: 0 };
    const change = Math.abs(by_ms) < SAME_MS ? "moved" : by_ms > 0 ? "longer" : "shorter";
    return { ...it, change, by_ms };
  });
  const gone = list(difference["episodes_only_running"]).map((it): Judged => ({ ...episodeOf(it), change: "gone", by_ms: 0 }));
  return [...found, ...gone].sort((a, b) => a.fired_at - b.fired_at);
}

/** The last line of a backtest of `rule`. */
export function outcomeOf(json: Json, rule: string): Outcome {
  const account = list(json["rules"]).find((it) => it["rule"] === rule) ?? {};
  const difference = typeof json["difference"] === "object" ? (json["difference"] as Json | null) : null;
  return {
    from: parseTime(json["from"]),
    to: parseTime(json["to"]),
    n_readings: number(json["readings"]),
    n_fired: number(account["fired"]),
    n_devices: number(account["devices"]),
    n_held_short: number(account["held_short"]),
    total_ms: number(account["total_secs"]) * 1000,
    longest_ms: number(account["longest_secs"]) * 1000,
    share: number(account["share_firing"]),
    flap_share: number(account["flap_share"]),
    episodes: judge(list(json["episodes"]).map(episodeOf), difference),
    n_left_out: number(json["episodes_left_out"]),
    difference:
      difference === null
        ? null
        : {
            n_same: number(difference["same"]),
            n_new: number(difference["only_tried"]),
            n_gone: number(difference["only_running"]),
            n_moved: number(difference["moved"]),
          },
  };
}

/** Whole lines of what came so far, and the rest that is not one yet. */
export function cutLines(text: string): { lines: string[]; rest: string } {
  const lines = text.split("\n");
  const rest = lines.pop() ?? "";
  return { lines: lines.filter((line) => line !== ""), rest };
}

export interface Ask {
  /** The text that is tried; null: the rule in force. */
  toml: string | null;
  from: number;
  to: number;
  /** There is no rule in force to compare it with: all of it would be new. */
  isAlone: boolean;
}

/** Runs a backtest; aborting it ends it at the service too. */
export async function backtest(rule: string, ask: Ask, signal: AbortSignal, told: (progress: Progress) => void): Promise<Outcome> {
  const { toml, from, to, isAlone } = ask;
  const body = { ...(toml === null ? {} : { toml }), from: new Date(from).toISOString(), to: new Date(to).toISOString() };
  const headers: Record<string, string> = { "content-type": "application/json" };
  if (client.csrf !== null) headers["x-csrf-token"] = client.csrf;
  const path = `/api/v1/rules/${encodeURIComponent(rule)}/backtest`;
  const response = await fetch(path, { method: "POST", headers, body: JSON.stringify(body), signal });
  if (!response.ok || response.body === null) throw await problemOf(response);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const progress: Progress = { n_readings: 0, n_expected: 0, at: null, n_fired: 0 };
  for (let rest = ""; ; ) {
    const { done, value } = await reader.read();
    if (done) throw new ApiError("The answer was cut off: the service stopped, or the connection broke.", { status: 0 });
    const cut = cutLines(rest + value);
    rest = cut.rest;
    for (const line of cut.lines) {
      const json = JSON.parse(line) as Json;
      if (json["type"] === "summary") return outcomeOf(isAlone ? { ...json, difference: null } : json, rule);
      if (json["type"] === "error") throw new ApiError(String(json["detail"]), { status: 0, code: String(json["code"]) });
      if (json["type"] === "transition" && json["to"] === "firing") progress.n_fired += 1;
      if (json["type"] === "progress") {
        progress.n_readings = number(json["readings"]);
        progress.n_expected = number(json["of"]);
        progress.at = parseTime(json["at"]);
      }
    }
    told({ ...progress });
  }
}

/** A bar of a strip, in shares of its width. */
export interface Bar {
  left: number;
  width: number;
  episode: Judged;
}

export interface Strip {
  device: string;
  bars: Bar[];
  total_ms: number;
}

/** Thinner than this nobody sees. */
const WIDTH_MIN = 0.004;

/** A strip for each device, those that fired longest first. */
export function stripsOf(episodes: Judged[], from: number, to: number): Strip[] {
  const strips = new Map<string, Strip>();
  const place = (at: number): number => Math.min(Math.max((at - from) / (to - from), 0), 1);
  for (const episode of episodes) {
    const strip = strips.get(episode.device) ?? { device: episode.device, bars: [], total_ms: 0 };
    const left = Math.min(place(episode.fired_at), 1 - WIDTH_MIN);
    const width = Math.max(place(episode.ended_at ?? to) - left, WIDTH_MIN);
    strip.bars.push({ left, width, episode });
    if (episode.change !== "gone") strip.total_ms += episode.length_ms;
    strips.set(episode.device, strip);
  }
  return [...strips.values()].sort((a, b) => b.total_ms - a.total_ms || (a.device < b.device ? -1 : 1));
}

/** How many began to fire in each of `n` equal parts of the time. */
export function bucketsOf(episodes: Judged[], from: number, to: number, n: number): number[] {
  const buckets = new Array<number>(n).fill(0);
  for (const { fired_at, change } of episodes) {
    if (change === "gone" || fired_at < from || fired_at > to) continue;
    const index = Math.min(Math.floor(((fired_at - from) / (to - from)) * n), n - 1);
    buckets[index] = (buckets[index] ?? 0) + 1;
  }
  return buckets;
}
