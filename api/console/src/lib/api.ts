// The HTTP interface: one function per question. Failures carry what the server said.
import { learnOffset } from "./clock";
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

/** The most pages fetched for one answer: a bound, whatever `next` says. */
const PAGES_MAX = 200;

/** Rows asked for at once: the most the server gives. */
const LIMIT = 10_000;

/** An answer that was not a success, or none at all (`status` 0). */
export class ApiError extends Error {
  readonly status: number;
  /** The stable `code` of a problem document. */
  readonly code: string | null;

  constructor(message: string, status: number, code: string | null) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

type Query = Record<string, string | number>;

async function problem(response: Response): Promise<ApiError> {
  const body = (await response.json().catch(() => null)) as Record<string, unknown> | null;
  const word = (key: string): string | null => (typeof body?.[key] === "string" ? body[key] : null);
  const message = word("detail") ?? word("title") ?? `the server answered ${response.status}`;
  return new ApiError(message, response.status, word("code"));
}

async function get(path: string, query: Query, signal: AbortSignal): Promise<unknown> {
  const pairs = Object.entries(query).map(([key, value]): [string, string] => [key, String(value)]);
  const url = `/api/v1/${path}${pairs.length === 0 ? "" : `?${new URLSearchParams(pairs)}`}`;
  let response: Response;
  try {
    response = await fetch(url, { signal, headers: { accept: "application/json" } });
  } catch (error) {
    if (signal.aborted) throw error;
    throw new ApiError("the server does not answer", 0, null);
  }
  const date = Date.parse(response.headers.get("date") ?? "");
  // The header counts whole seconds.
  if (!Number.isNaN(date)) learnOffset(date + 500, Date.now());
  if (!response.ok) throw await problem(response);
  return response.json();
}

/** All pages of a list, gathered. */
async function pages<T>(
  path: string,
  query: Query,
  key: string,
  parse: (item: unknown) => T | null,
  signal: AbortSignal,
  most = Number.POSITIVE_INFINITY,
): Promise<T[]> {
  const items: T[] = [];
  let after: Query = {};
  for (let page = 0; page < PAGES_MAX && items.length < most; page += 1) {
    const body = (await get(path, { ...query, ...after }, signal)) as Record<string, unknown>;
    for (const item of parseList(body[key], parse)) items.push(item);
    const next = body["next"];
    if (typeof next !== "string" && typeof next !== "number") break;
    after = { cursor: next };
  }
  return items;
}

function devicePath(device: string): string {
  return `devices/${encodeURIComponent(device)}`;
}

export function devices(signal: AbortSignal): Promise<Device[]> {
  return pages("devices", { limit: LIMIT }, "devices", parseDevice, signal);
}

export async function device(id: string, signal: AbortSignal): Promise<Device | null> {
  return parseDevice(await get(devicePath(id), {}, signal));
}

export async function latest(id: string, signal: AbortSignal): Promise<Reading[]> {
  const body = (await get(`${devicePath(id)}/latest`, {}, signal)) as Record<string, unknown>;
  return parseList(body["latest"], parseReading);
}

export async function ledger(id: string, signal: AbortSignal): Promise<Ledger | null> {
  return parseLedger(await get(`${devicePath(id)}/audit`, {}, signal));
}

/** How the service is. Its answer has a body whatever its status says. */
export async function health(signal: AbortSignal): Promise<Health | null> {
  const response = await fetch("/readyz", { signal });
  return parseHealth(await response.json());
}

export async function rules(signal: AbortSignal): Promise<Rule[]> {
  const body = (await get("rules", {}, signal)) as Record<string, unknown>;
  return parseList(body["rules"], parseRule);
}

/** The alerts that ended last: one page, the newest first. */
export function resolvedAlerts(signal: AbortSignal): Promise<Alert[]> {
  return pages("alerts", { state: "resolved", limit: 100 }, "alerts", parseAlert, signal, 1);
}

function span(metric: string, from: number, to: number): Query {
  return { metric, from: new Date(from).toISOString(), to: new Date(to).toISOString() };
}

/** The readings of one metric, oldest first; `most` bounds how many pages are fetched. */
export function readings(
  id: string,
  metric: string,
  from: number,
  to: number,
  most: number,
  signal: AbortSignal,
): Promise<Reading[]> {
  const path = `${devicePath(id)}/readings`;
  return pages(path, { ...span(metric, from, to), limit: LIMIT }, "readings", parseReading, signal, most);
}

/** The same in buckets of a length like `1m`. */
export function buckets(
  id: string,
  metric: string,
  from: number,
  to: number,
  bucket: string,
  signal: AbortSignal,
): Promise<Bucket[]> {
  const path = `${devicePath(id)}/readings`;
  return pages(path, { ...span(metric, from, to), bucket }, "buckets", parseBucket, signal);
}
