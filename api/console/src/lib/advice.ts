// What is wrong with the service, in plain words, and what to do about it.
import { formatAge } from "./format";
import { checkOf, formatBytes, LAG_BYTES, type Looks, type Readiness } from "./health";
import type { Metrics } from "./metrics";

/** Something that is wrong, what that means, and what to do. */
export interface Advice {
  level: "warn" | "bad";
  what: string;
  todo: string;
}

const DAY_S = 86_400;
/** A certificate is renewed a month before its end; later than this somebody should look. */
const CERTIFICATE_S = 14 * DAY_S;
/** Our certificates, and when each ends, in ms since 1970. */
export function certificates(metrics: Metrics): { door: string; ends: number }[] {
  const name = /^bellwire_(\w+)_certificate_expires_timestamp_seconds$/;
  return [...metrics].flatMap(([metric, samples]) => {
    const door = name.exec(metric)?.[1];
    const ends = samples[0]?.value ?? 0;
    return door === undefined || ends <= 0 ? [] : [{ door: door.toUpperCase(), ends: ends * 1000 }];
  });
}

const TODO: Record<string, (detail: string, looks: Looks | null) => Advice> = {
  database: (detail, looks) => {
    const waits = looks?.count("keep_lag_bytes") ?? null;
    return {
      level: "bad",
      what: `The database does not answer: ${/\((.+)\)/.exec(detail)?.[1] ?? detail}.`,
      todo: `Nothing is lost: what comes in waits in the log${waits === null ? "" : ` (${formatBytes(waits)} now)`}, and is stored when the database is back. See whether PostgreSQL runs, whether its disk has room, and whether database.url is right; the service's log has more.`,
    };
  },
  log: (detail) => ({
    level: "bad",
    what: `Devices are held back: ${detail}.`,
    todo: "They keep what they could not send, and send it later. Bring the database back, or make room on the disk; log.bytes_max says how much the log may take.",
  }),
  channels: (detail) => ({
    level: "bad",
    what: `Alerts do not reach everybody: ${detail}.`,
    todo: "They are sent again until they arrive. Channels shows what the receiver said; a test message shows whether it is mended.",
  }),
  bridge: (detail) => ({
    level: "bad",
    what: `Another broker cannot be reached: ${detail}.`,
    todo: "It keeps what the bridge has not fetched, as far as it is made to. See whether it runs, and whether address and credentials are right.",
  }),
};

/** What is wrong, the worst first. */
export function advice(ready: Readiness, looks: Looks | null, now: number): Advice[] {
  const faults = ready.checks
    .filter(({ status }) => status !== "ok")
    .map(({ name, detail }): Advice => {
      return TODO[name]?.(detail, looks) ?? { level: "warn", what: `${name}: ${detail}.`, todo: "The service's log says more." };
    });
  if (looks === null) return faults;
  const slow = (looks.count("keep_lag_bytes") ?? 0) > LAG_BYTES && checkOf(ready, "database")?.status === "ok";
  if (slow) {
    faults.push({
      level: "warn",
      what: `The database is behind by ${formatBytes(looks.count("keep_lag_bytes") ?? 0)} of the log.`,
      todo: "Alerts do not wait for it; charts and lists do. If this grows, the database is too slow for what comes in: see its disk.",
    });
  }
  for (const { door, ends } of certificates(looks.now)) {
    if (ends - now > CERTIFICATE_S * 1000) continue;
    const over = ends <= now;
    faults.push({
      level: over ? "bad" : "warn",
      what: `The ${door} certificate ${over ? "ended" : "ends in"} ${formatAge(Math.abs(ends - now))}${over ? " ago" : ""}.`,
      todo: "Put a new one in its file: it is taken up without a restart.",
    });
  }
  return faults;
}
