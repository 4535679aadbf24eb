// The console's server for development and for its own browser test: serves `dist` under the
// strict policy, and imitates the HTTP interface and the live feed over a made-up fleet.
//
//   node dev/mock.mjs            http://127.0.0.1:8089
//   PORT=…  DEVICES=10000        another port, more devices, or 0 for the empty pages
//   DEGRADED=1                   the database is away
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

import { WebSocketServer } from "ws";

import { makeFleet } from "./fleet.mjs";

const DIST = fileURLToPath(new URL("../dist/", import.meta.url));
const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
};
export const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types svelte-trusted-html",
].join("; ");

async function file(path, response) {
  const name = normalize(path).replace(/^(\.\.[/\\])+/, "");
  const send = (body, type) => {
    response.writeHead(200, { "content-type": type, "content-security-policy": POLICY });
    response.end(body);
  };
  if (TYPES[extname(name)] !== undefined) {
    try {
      return send(await readFile(join(DIST, name)), TYPES[extname(name)]);
    } catch {
      response.writeHead(404).end();
      return undefined;
    }
  }
  return send(await readFile(join(DIST, "index.html")), TYPES[".html"]);
}

function json(response, body, status = 200) {
  const type = status < 400 ? "application/json" : "application/problem+json";
  response.writeHead(status, { "content-type": type });
  response.end(JSON.stringify(body));
}

const LENGTHS = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

function readings(fleet, device, query) {
  const metric = query.get("metric");
  const [from, to] = [Date.parse(query.get("from")), Math.min(Date.now(), Date.parse(query.get("to")))];
  const [, count, unit] = /^(\d+)([smhd])$/.exec(query.get("bucket") ?? "1s");
  const step = Number(count) * LENGTHS[unit];
  const rows = [];
  for (let at = Math.ceil(from / step) * step; at < to; at += step) {
    const value = fleet.readingsOf(device, at).find((reading) => reading.metric === metric)?.value;
    if (typeof value !== "number") break;
    // The device was silent for a while, as devices are.
    if (at % 3_600_000 > 1_500_000 && at % 3_600_000 < 1_620_000) continue;
    rows.push(
      query.has("bucket")
        ? { at: fleet.iso(at), metric, avg: value, min: value - 0.6, max: value + 0.7, count: step / 1000 }
        : { at: fleet.iso(at), metric, value },
    );
  }
  return query.has("bucket") ? { buckets: rows } : { readings: rows, next: null };
}

function deviceJson(fleet, { device, labels, first_seen, last_seen, online, clock_skew_ms }) {
  const [first, last] = [fleet.iso(first_seen), fleet.iso(last_seen)];
  return { device, first_seen: first, last_seen: last, online, clock_skew_ms, labels };
}

function audit({ device, received }) {
  const [duplicate, quarantined, refused] = [12, 2, 0];
  const stored = received - duplicate - quarantined - refused;
  const seq = { last: received + 40, gaps: [[1021, 1024], [5310, 5310]], resets: 1 };
  return { device, received, stored, duplicate, quarantined, refused, readings: stored * 6, seq };
}

function api(fleet, url, response) {
  const [, , , room, id, part] = url.pathname.split("/");
  if (room === "rules") return json(response, { rules: fleet.rules });
  if (room === "alerts") {
    const ended = fleet.transitions.map(({ frame }) => frame.alert);
    const alerts = ended.filter(({ state }) => state === url.searchParams.get("state"));
    return json(response, { alerts: alerts.reverse().slice(0, 100), next: null });
  }
  if (room !== "devices") return json(response, { code: "not_found", title: "no such resource" }, 404);
  if (id === undefined) {
    const all = [...fleet.devices.values()].map((device) => deviceJson(fleet, device));
    const start = Number(url.searchParams.get("cursor") ?? 0);
    const limit = Number(url.searchParams.get("limit") ?? 1000);
    const next = start + limit < all.length ? String(start + limit) : null;
    return json(response, { devices: all.slice(start, start + limit), next });
  }
  const device = fleet.devices.get(decodeURIComponent(id));
  if (device === undefined) {
    return json(response, { code: "device_not_found", title: "no such device" }, 404);
  }
  switch (part) {
    case undefined:
      return json(response, deviceJson(fleet, device));
    case "latest": {
      const at = fleet.iso(device.last_seen);
      const latest = fleet.readingsOf(device, device.last_seen).map(({ metric, value }) => ({
        metric,
        at,
        ...(typeof value === "number" ? { value } : { text: value }),
      }));
      return json(response, { device: device.device, latest });
    }
    case "readings":
      return json(response, readings(fleet, device, url.searchParams));
    case "audit":
      return json(response, audit(device));
    default:
      return json(response, { code: "not_found", title: "no such resource" }, 404);
  }
}

function greet(fleet, socket, cursor) {
  const [log, position] = (cursor ?? "").split(":");
  const resumed = log === "mock";
  for (const { n, frame } of fleet.transitions) {
    if (resumed && n > Number(position)) socket.send(JSON.stringify(frame));
  }
  const alerts = [...fleet.alerts.values()];
  socket.send(JSON.stringify({ type: "snapshot", resumed, cursor: fleet.cursor(), alerts }));
}

function connect(fleet, socket, cursor) {
  let wanted = new Set();
  socket.on("message", (text) => {
    const message = JSON.parse(text);
    if (message.type === "subscribe") wanted = new Set(message.devices);
  });
  const listener = (frame) => socket.send(JSON.stringify(frame));
  fleet.listeners.add(listener);
  socket.on("close", () => fleet.listeners.delete(listener));
  greet(fleet, socket, cursor);
  return (at) => {
    for (const name of wanted) {
      const device = fleet.devices.get(name);
      if (device?.last_seen !== at) continue;
      for (const { metric, value } of fleet.readingsOf(device, at)) {
        listener({ type: "reading", device: name, metric, at: fleet.iso(at), value });
      }
    }
  };
}

/** Starts the mock over a fleet; the fleet outlives it, as a log outlives a process. */
export async function startMock(fleet, port) {
  const server = createServer((request, response) => {
    const url = new URL(request.url, "http://mock");
    if (url.pathname === "/readyz") json(response, fleet.health);
    else if (url.pathname.startsWith("/api/")) api(fleet, url, response);
    else void file(url.pathname, response);
  });
  const sockets = new WebSocketServer({ server });
  const readers = new Map();
  sockets.on("connection", (socket, request) => {
    const url = new URL(request.url, "http://mock");
    readers.set(socket, connect(fleet, socket, url.searchParams.get("cursor")));
    socket.on("close", () => readers.delete(socket));
  });
  const beat = setInterval(() => {
    for (const socket of readers.keys()) {
      socket.send(JSON.stringify({ type: "heartbeat", at: fleet.iso(Date.now()) }));
    }
  }, 5000);
  const speak = setInterval(() => {
    const at = Date.now();
    fleet.speakAll(at);
    for (const read of readers.values()) read(at);
  }, 1000);
  await new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    async stop() {
      clearInterval(beat);
      clearInterval(speak);
      for (const socket of readers.keys()) socket.terminate();
      await new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      });
    },
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const fleet = makeFleet({ n_devices: Number(process.env.DEVICES ?? 40) });
  const mock = await startMock(fleet, Number(process.env.PORT ?? 8089));
  console.log(`mock console: ${mock.url}`);
  if (process.env.DEGRADED !== undefined) fleet.degrade();
  let failing = false;
  setInterval(() => {
    failing = !failing;
    if (fleet.devices.has("freezer-03")) fleet.fail("freezer-03", failing);
  }, 20_000);
}
