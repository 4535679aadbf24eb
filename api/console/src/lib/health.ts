// How the service is, stage by stage, from what it says of itself: `/readyz`, and two looks at
// `/metrics`, whose difference gives the rates.
import type { Schemas } from "./client";
import { formatAge, formatCount } from "./format";
import { buckets, type Metrics, quantile, rate, since, total } from "./metrics";

export type Level = "ok" | "warn" | "bad" | "off";

export interface Figure {
  label: string;
  value: string;
}

export interface Stage {
  id: string;
  title: string;
  /** What it does, in one sentence. */
  does: string;
  level: Level;
  /** How it is, in a word or two. */
  word: string;
  figures: Figure[];
}

export interface Look {
  /** ms since 1970, by this machine's clock. */
  at: number;
  metrics: Metrics;
}

export type Readiness = Schemas["Readiness"];

/** So much waits only where something cannot keep up. */
export const LAG_BYTES = 8 << 20;

const PREFIXES = ["judge", "judged", "keep", "kept", "live", "log", "mqtt", "http", "notify", "bridge", "store", "stored"];
const WANTED = new RegExp(`^(process_start_time_seconds|bellwire_(${PREFIXES.join("|")})_|bellwire_\\w+_certificate_expires)`);
/** Hundreds of samples that say nothing here. */
const UNWANTED = /^bellwire_(http_request|log_appended_records|log_group|store_query|store_compact)/;

/** The metrics that this page is made of. */
export const wants = (name: string): boolean => WANTED.test(name) && !UNWANTED.test(name);

/** `1.2 GB`. */
export function formatBytes(n: number): string {
  if (n < 1000) return `${Math.round(n)} B`;
  const power = Math.min(Math.floor(Math.log10(n) / 3), 4);
  const value = n / 1000 ** power;
  return `${value.toFixed(value < 10 ? 1 : 0)} ${["B", "kB", "MB", "GB", "TB"][power]}`;
}

function formatRate(perSecond: number | null): string {
  if (perSecond === null) return "–";
  return `${perSecond < 10 ? Number(perSecond.toFixed(1)) : formatCount(Math.round(perSecond))}/s`;
}

/** Looks at one service twice. */
export class Looks {
  readonly now: Metrics;
  readonly #before: Metrics | null;
  readonly #seconds: number;

  constructor(before: Look | null, now: Look) {
    this.now = now.metrics;
    this.#before = before?.metrics ?? null;
    this.#seconds = before === null ? 0 : (now.at - before.at) / 1000;
  }

  count(name: string, labels: Record<string, string> = {}): number | null {
    return total(this.now, `bellwire_${name}`, labels);
  }

  /** How much more of it there is, per second. */
  speed(name: string, labels: Record<string, string> = {}): number | null {
    if (this.#before === null) return null;
    return rate(total(this.#before, `bellwire_${name}`, labels), this.count(name, labels), this.#seconds);
  }

  /** A quantile, in ms: of what is new since the look before, else of all since the start. */
  part(q: number, name: string): { ms: number | null; isNew: boolean } {
    const after = buckets(this.now, `bellwire_${name}`);
    const fresh = this.#before === null ? null : quantile(q, since(buckets(this.#before, `bellwire_${name}`), after));
    const seconds = fresh ?? quantile(q, after);
    return { ms: seconds === null ? null : seconds * 1000, isNew: fresh !== null };
  }
}

export interface Latency {
  id: string;
  title: string;
  p50: number | null;
  p99: number | null;
  /** Of the last seconds; else of all since the start. */
  isNew: boolean;
}

/** How long things take. */
export function latencies(looks: Looks): Latency[] {
  const rows: [string, string][] = [
    ["log_sync_seconds", "Log: one write to the disk"],
    ["judge_latency_seconds", "Received → judged"],
    ["live_latency_seconds", "Received → on its way to screens"],
    ["live_delivery_seconds", "Received → taken by screens"],
    ["stored_latency_seconds", "Received → in the database"],
  ];
  return rows.map(([id, title]) => {
    const [half, most] = [looks.part(0.5, id), looks.part(0.99, id)];
    return { id, title, p50: half.ms, p99: most.ms, isNew: half.isNew };
  });
}

function figure(label: string, value: number | null, write: (value: number) => string): Figure[] {
  return value === null ? [] : [{ label, value: write(value) }];
}

function lag(bytes: number | null): Pick<Stage, "level" | "word"> {
  return (bytes ?? 0) > LAG_BYTES ? { level: "warn", word: "behind" } : { level: "ok", word: "keeps up" };
}

export function checkOf(ready: Readiness, name: string) {
  return ready.checks.find((check) => check.name === name);
}

function spine(ready: Readiness, looks: Looks): Stage[] {
  const [held, refused] = [looks.count("mqtt_connections_throttled") ?? 0, looks.speed("mqtt_publishes_refused_total") ?? 0];
  const log = checkOf(ready, "log");
  const isAway = checkOf(ready, "database")?.status !== "ok";
  const full = looks.count("log_bytes_max");
  const used = looks.count("log_bytes");
  return [
    {
      id: "listener",
      title: "Listener",
      does: "Takes publishes from devices, by MQTT.",
      level: refused > 0 ? "bad" : held > 0 ? "warn" : "ok",
      word: refused > 0 ? "refuses" : held > 0 ? "slows devices" : "listens",
      figures: [
        ...figure("connections", looks.count("mqtt_connections"), formatCount),
        { label: "publishes", value: formatRate(looks.speed("mqtt_publishes_received_total")) },
        ...(held > 0 ? [{ label: "slowed", value: formatCount(held) }] : []),
      ],
    },
    {
      id: "log",
      title: "Log",
      does: "Has them on disk before they are acknowledged.",
      level: log?.status === "unavailable" ? "bad" : "ok",
      word: log?.status === "unavailable" ? "holds back" : "has room",
      figures: [
        { label: "publishes", value: formatRate(looks.speed("log_appended_publishes_total")) },
        ...figure("on disk", used, (n) => formatBytes(n) + (full ? ` of ${formatBytes(full)}` : "")),
        ...figure("queue", looks.count("log_queue_bytes"), formatBytes),
        ...figure("disk free", looks.count("log_disk_free_bytes") || null, formatBytes),
      ],
    },
    {
      id: "judge",
      title: "Judge",
      does: "Decodes them, and judges the rules.",
      ...lag(looks.count("judge_lag_bytes")),
      figures: [
        { label: "readings", value: formatRate(looks.speed("judged_readings_total")) },
        ...figure("behind", looks.count("judge_lag_bytes"), formatBytes),
      ],
    },
    {
      id: "keep",
      title: "Keep",
      does: "Gathers readings into transactions.",
      ...(isAway ? ({ level: "warn", word: "waits" } as const) : lag(looks.count("keep_lag_bytes"))),
      figures: [
        { label: "readings", value: formatRate(looks.speed("kept_readings_total")) },
        ...figure("behind", looks.count("keep_lag_bytes"), formatBytes),
      ],
    },
  ];
}

function database(ready: Readiness, looks: Looks): Stage {
  const is = ready.database;
  const away = checkOf(ready, "database")?.status !== "ok";
  return {
    id: "database",
    title: "Database",
    does:
      is == null
        ? "PostgreSQL; it has not answered yet."
        : `PostgreSQL ${is.postgresql.split(" ")[0]}${is.timescaledb == null ? ", plain" : ` with TimescaleDB ${is.timescaledb}`}, schema ${is.schema}.`,
    level: away ? "bad" : "ok",
    word: away ? "away" : "answers",
    figures: [
      { label: "commits", value: formatRate(looks.speed("store_writes_total", { ending: "committed" })) },
      { label: "tried again", value: formatRate(looks.speed("keep_retries_total")) },
      ...figure("position", looks.count("store_position_bytes"), formatBytes),
    ],
  };
}

function live(looks: Looks): Stage {
  const [clients, backlog] = [looks.count("live_clients") ?? 0, looks.count("live_backlog_transitions") ?? 0];
  return {
    id: "live",
    title: "Live feed",
    does: "Shows alerts and readings to screens.",
    level: backlog > 1000 ? "warn" : "ok",
    word: backlog > 1000 ? "behind" : "keeps up",
    figures: [
      { label: "screens", value: formatCount(clients) },
      { label: "frames", value: formatRate(looks.speed("live_frames_sent_total")) },
      { label: "waiting", value: formatCount(backlog) },
    ],
  };
}

function sending(looks: Looks, channels: readonly Schemas["Channel"][] | null): Stage {
  const bad = (channels ?? []).filter(({ status }) => status === "failing" || status === "rejecting");
  const oldest = Math.max(0, ...(channels ?? []).map((it) => it.oldest_waiting_s));
  const has = (channels?.length ?? 0) > 0;
  return {
    id: "channels",
    title: "Channels",
    does: "Tell people and systems of alerts.",
    level: !has ? "off" : bad.length > 0 ? "bad" : "ok",
    word: !has ? "none" : bad.length > 0 ? `${bad.length} of ${channels?.length} fail` : "deliver",
    figures: !has
      ? []
      : [
          { label: "sent", value: formatRate(looks.speed("notify_sent_total")) },
          { label: "waiting", value: formatCount((channels ?? []).reduce((sum, it) => sum + it.waiting, 0)) },
          ...(oldest > 0 ? [{ label: "oldest", value: formatAge(oldest * 1000) }] : []),
        ],
  };
}

function bridges(ready: Readiness, looks: Looks): Stage {
  const all = looks.now.get("bellwire_bridge_connected") ?? [];
  const connected = all.filter(({ value }) => value > 0).length;
  const bad = checkOf(ready, "bridge")?.status ?? "ok";
  return {
    id: "bridges",
    title: "Bridges",
    does: "Fetch from other brokers.",
    level: all.length === 0 ? "off" : connected < all.length || bad !== "ok" ? "bad" : "ok",
    word: all.length === 0 ? "none" : connected < all.length ? `${all.length - connected} away` : "connected",
    figures: all.length === 0 ? [] : [{ label: "received", value: formatRate(looks.speed("bridge_received_total")) }],
  };
}

/** All stages: the way of a reading first, then who is told. */
export function stages(ready: Readiness, looks: Looks, channels: readonly Schemas["Channel"][] | null): Stage[] {
  return [...spine(ready, looks), database(ready, looks), live(looks), sending(looks, channels), bridges(ready, looks)];
}

/** When the service started, in ms since 1970. */
export function startedAt(metrics: Metrics): number | null {
  const seconds = total(metrics, "process_start_time_seconds");
  return seconds === null ? null : seconds * 1000;
}
