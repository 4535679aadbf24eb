// One function per question of the live pages, each with a check of what came. Other pages ask
// `client` themselves.
import { client } from "./client";
import {
  parseAlert,
  parseBucket,
  parseDevice,
  parseHealth,
  parseLedger,
  parseList,
  parseReading,
  parseRule,
} from "./parse";
import type { Alert, Bucket, Device, Health, Ledger, Reading, Rule } from "./words";

/** Rows asked for at once: the most the server gives. */
const LIMIT = 10_000;

const DEVICE = "/api/v1/devices/{id}";
const READINGS = `${DEVICE}/readings` as const;

/** Devices asked for at once: a page of them is read within a frame. */
const DEVICES_LIMIT = 2_000;

/** All devices, by name. */
export async function devices(signal: AbortSignal): Promise<Device[]> {
  const found: Device[] = [];
  let cursor: string | null | undefined;
  do {
    const query = { limit: DEVICES_LIMIT, ...(typeof cursor === "string" ? { cursor } : {}) };
    const page = await client.get("/api/v1/devices", { query, signal });
    for (const device of parseList(page.devices, parseDevice)) found.push(device);
    cursor = page.next;
  } while (cursor !== null);
  return found;
}

export async function device(id: string, signal: AbortSignal): Promise<Device | null> {
  return parseDevice(await client.get(DEVICE, { path: { id }, signal }));
}

export async function latest(id: string, signal: AbortSignal): Promise<Reading[]> {
  const { latest } = await client.get(`${DEVICE}/latest`, { path: { id }, signal });
  return parseList(latest, parseReading);
}

export async function ledger(id: string, signal: AbortSignal): Promise<Ledger | null> {
  return parseLedger(await client.get(`${DEVICE}/audit`, { path: { id }, signal }));
}

/** How the service is. Its answer has a body whatever its status says. */
export async function health(signal: AbortSignal): Promise<Health | null> {
  const response = await fetch("/readyz", { signal });
  return parseHealth(await response.json());
}

export async function rules(signal: AbortSignal): Promise<Rule[]> {
  return parseList((await client.get("/api/v1/rules", { signal })).rules, parseRule);
}

/** The alerts of one device, open or over: one page, the latest first. */
export async function alertsOf(device: string, signal: AbortSignal): Promise<Alert[]> {
  const state = "pending,firing,recovering,no_data,error,resolved";
  const { alerts } = await client.get("/api/v1/alerts", { query: { device, state, limit: 500 }, signal });
  return parseList(alerts, parseAlert);
}

/** The latest number of one metric, by device: at most one page. */
export async function latestOf(metric: string, signal: AbortSignal): Promise<Map<string, number>> {
  const { latest } = await client.get("/api/v1/latest", { query: { metric, limit: LIMIT }, signal });
  return new Map(latest.flatMap(({ device, value }) => (typeof value === "number" ? [[device, value]] : [])));
}

/** The alerts that ended last: one page, the newest first. */
export async function resolvedAlerts(signal: AbortSignal): Promise<Alert[]> {
  const { alerts } = await client.get("/api/v1/alerts", { query: { state: "resolved", limit: 100 }, signal });
  return parseList(alerts, parseAlert);
}

function span(metric: string, from: number, to: number) {
  return { metric, from: new Date(from).toISOString(), to: new Date(to).toISOString() };
}

/** The readings of one metric, oldest first; of more than `points`, so many that show their extremes. */
export async function points(
  id: string,
  metric: string,
  from: number,
  to: number,
  points: number,
  signal: AbortSignal,
): Promise<Reading[]> {
  const query = { ...span(metric, from, to), points, method: "minmax" as const };
  return parseList(await client.gather(READINGS, "readings", { path: { id }, query, signal }), parseReading);
}

/** The same in buckets of a length like `1m`. */
export async function buckets(
  id: string,
  metric: string,
  from: number,
  to: number,
  bucket: string,
  signal: AbortSignal,
): Promise<Bucket[]> {
  const query = { ...span(metric, from, to), bucket };
  return parseList(await client.gather(READINGS, "buckets", { path: { id }, query, signal }), parseBucket);
}
