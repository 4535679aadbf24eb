// JSON from the server → the words. What does not have the promised shape becomes null, so that
// one odd frame can neither stop the page nor put a wrong type into it.
import type {
  Alert,
  AlertEvent,
  Bucket,
  Device,
  Frame,
  Health,
  Ledger,
  Operator,
  Reading,
  Rule,
  StageTimes,
} from "./words";
import { SEVERITIES, STATES } from "./words";

type Json = Record<string, unknown>;

function record(value: unknown): Json | null {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Json)
    : null;
}

function text(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}

function number(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

/** RFC 3339 → milliseconds since 1970, keeping microseconds in the fraction. */
export function parseTime(value: unknown): number | null {
  if (typeof value !== "string") return null;
  const ms = Date.parse(value);
  if (Number.isNaN(ms)) return null;
  const fraction = /\.\d{3}(\d{1,3})/.exec(value)?.[1];
  return fraction === undefined ? ms : ms + Number(fraction.padEnd(3, "0")) / 1000;
}

/** Those elements of an array that `parse` can read; an empty list for anything else. */
export function parseList<T>(value: unknown, parse: (item: unknown) => T | null): T[] {
  if (!Array.isArray(value)) return [];
  return value.map(parse).filter((item): item is T & {} => item !== null);
}

export function parseAlert(value: unknown): Alert | null {
  const json = record(value);
  if (json === null) return null;
  const severity = SEVERITIES.find((word) => word === json["severity"]);
  const state = STATES.find((word) => word === json["state"]);
  const [id, rule, device] = [text(json["id"]), text(json["rule"]), text(json["device"])];
  const since = parseTime(json["since"]);
  if (severity === undefined || state === undefined || since === null) return null;
  if (id === null || rule === null || device === null) return null;
  return {
    id,
    rule,
    device,
    severity,
    state,
    since,
    fired_at: parseTime(json["fired_at"]),
    resolved_at: parseTime(json["resolved_at"]),
    value: number(json["value"]),
    summary: text(json["summary"]) ?? "",
    acknowledged_by: text(json["acknowledged_by"]),
    acknowledged_at: parseTime(json["acknowledged_at"]),
    assigned_to: text(json["assigned_to"]),
    snoozed_until: parseTime(json["snoozed_until"]),
    latched: json["latched"] === true,
    silenced: json["silenced"] === true,
    inhibited: json["inhibited"] === true,
    escalation: number(json["escalation"]) ?? 0,
    labels: Object.fromEntries(textPairs(json["labels"])),
  };
}

/** The members of an object that are texts, by name. */
function textPairs(value: unknown): [string, string][] {
  return Object.entries(record(value) ?? {})
    .filter((pair): pair is [string, string] => typeof pair[1] === "string")
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

/** One entry of a timeline, as the live feed and an alert's history write it. */
export function parseEvent(value: unknown): AlertEvent | null {
  const json = record(value);
  const [cursor, alert] = [text(json?.["cursor"]), parseAlert(json?.["alert"])];
  const at = parseTime(json?.["at"]);
  if (json === null || cursor === null || alert === null || at === null) return null;
  const times = record(json["times"]) ?? {};
  const state = (name: string) => STATES.find((word) => word === json[name]) ?? null;
  return {
    cursor,
    at,
    alert,
    from: state("from"),
    to: state("to"),
    step: text(json["step"]),
    by: text(json["by"]),
    text: text(json["text"]),
    reason: text(json["reason"]) ?? "",
    correction: text(json["correction"]),
    historical: json["historical"] === true,
    times: {
      received: parseTime(times["received"]),
      durable: parseTime(times["durable"]),
      judged: parseTime(times["judged"]),
      sent: parseTime(times["sent"]),
    },
  };
}

function parseOperator(value: unknown): Operator | null {
  const json = record(value);
  const [name, since] = [text(json?.["name"]), parseTime(json?.["since"])];
  return json === null || name === null || since === null ? null : { name, since, n: number(json["n"]) ?? 0 };
}

export function parseReading(value: unknown): Reading | null {
  const json = record(value);
  if (json === null) return null;
  const metric = text(json["metric"]);
  const at = parseTime(json["at"]);
  const reading = number(json["value"]) ?? text(json["value"]) ?? text(json["text"]);
  return metric === null || at === null || reading === null
    ? null
    : { metric, at, value: reading, unit: text(json["unit"]) ?? undefined };
}

export function parseBucket(value: unknown): Bucket | null {
  const json = record(value);
  if (json === null) return null;
  const at = parseTime(json["at"]);
  const [avg, min, max] = [number(json["avg"]), number(json["min"]), number(json["max"])];
  return at === null || avg === null || min === null || max === null
    ? null
    : { at, avg, min, max, n: number(json["count"]) ?? 1 };
}

export function parseDevice(value: unknown): Device | null {
  const json = record(value);
  const device = json === null ? null : text(json["device"]);
  if (json === null || device === null) return null;
  return {
    device,
    first_seen: parseTime(json["first_seen"]),
    last_seen: parseTime(json["last_seen"]),
    online: typeof json["online"] === "boolean" ? json["online"] : null,
    clock_skew_ms: number(json["clock_skew_ms"]),
    labels: textPairs(json["labels"]),
  };
}

export function parseRule(value: unknown): Rule | null {
  const json = record(value);
  if (json === null) return null;
  const severity = SEVERITIES.find((word) => word === json["severity"]);
  const [name, when] = [text(json["name"]), text(json["when"])];
  return severity === undefined || name === null || when === null
    ? null
    : { name, severity, when, for: text(json["for"]) };
}

function parseGap(value: unknown): [number, number] | null {
  const [from, to] = Array.isArray(value) ? [number(value[0]), number(value[1])] : [null, null];
  return from === null || to === null ? null : [from, to];
}

export function parseLedger(value: unknown): Ledger | null {
  const json = record(value);
  if (json === null) return null;
  const seq = record(json["seq"]) ?? {};
  const count = (key: string): number => number(json[key]) ?? 0;
  return {
    received: count("received"),
    stored: count("stored"),
    duplicate: count("duplicate"),
    quarantined: count("quarantined"),
    refused: count("refused"),
    readings: count("readings"),
    seq: {
      last: number(seq["last"]),
      gaps: parseList(seq["gaps"], parseGap),
      resets: number(seq["resets"]) ?? 0,
    },
  };
}

/** The body of `/readyz`. */
export function parseHealth(value: unknown): Health | null {
  const json = record(value);
  const status = (["ok", "degraded", "unavailable"] as const).find((it) => it === json?.["status"]);
  if (json === null || status === undefined) return null;
  const faults = parseList(json["checks"], (item) => {
    const check = record(item);
    const name = check === null ? null : text(check["name"]);
    if (check === null || name === null || check["status"] === "ok") return null;
    return { name, detail: text(check["detail"]) ?? "" };
  });
  return { status, faults };
}

function parseTimes(value: unknown): StageTimes | null {
  const json = record(value);
  if (json === null) return null;
  const [received, durable] = [parseTime(json["received"]), parseTime(json["durable"])];
  const [judged, sent] = [parseTime(json["judged"]), parseTime(json["sent"])];
  return received === null || durable === null || judged === null || sent === null
    ? null
    : { received, durable, judged, sent };
}

/** One message of the live socket; null for a kind or a shape this console does not know. */
export function parseFrame(message: unknown): Frame | null {
  let json: Json | null = null;
  try {
    json = typeof message === "string" ? record(JSON.parse(message)) : null;
  } catch {
    return null;
  }
  if (json === null) return null;
  const cursor = text(json["cursor"]);
  switch (json["type"]) {
    case "snapshot":
      // A resumed connection may be told so without the alerts it knows already.
      if (json["resumed"] === true && !Array.isArray(json["alerts"])) {
        return { type: "heartbeat", at: null };
      }
      return cursor === null
        ? null
        : { type: "snapshot", cursor, alerts: parseList(json["alerts"], parseAlert) };
    case "transition":
    case "step": {
      const alert = parseAlert(json["alert"]);
      const type = json["type"] === "step" ? "step" : "transition";
      return alert === null || cursor === null
        ? null
        : { type, cursor, alert, times: parseTimes(json["times"]), event: parseEvent(json) };
    }
    case "gone": {
      const id = text(json["id"]);
      return id === null || cursor === null ? null : { type: "gone", cursor, id };
    }
    case "operators":
      return { type: "operators", here: parseList(json["here"], parseOperator) };
    case "reading": {
      const device = text(json["device"]);
      const reading = parseReading(json);
      return device === null || reading === null ? null : { type: "reading", device, reading };
    }
    case "heartbeat":
      return { type: "heartbeat", at: parseTime(json["at"]) };
    default:
      return null;
  }
}
