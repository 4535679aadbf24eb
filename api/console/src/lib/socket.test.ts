import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { Feed } from "./feed";
import { Link } from "./link";
import { LiveSocket } from "./socket";
import type { Reading } from "./words";

/** A WebSocket whose other end is the test. */
class FakeSocket {
  static OPEN = 1;
  readyState = 0;
  sent: unknown[] = [];
  onopen: (() => void) | null = null;
  onclose: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;

  constructor(readonly url: string) {}
  send(text: string): void {
    this.sent.push(JSON.parse(text));
  }
  close(): void {
    this.readyState = 3;
  }
  accept(): void {
    this.readyState = 1;
    this.onopen?.();
  }
  say(frame: unknown): void {
    this.onmessage?.({ data: typeof frame === "string" ? frame : JSON.stringify(frame) });
  }
  cut(): void {
    this.readyState = 3;
    this.onclose?.();
  }
}

const ALERT = {
  id: "1",
  rule: "hot",
  device: "oven",
  severity: "critical",
  state: "firing",
  since: "2026-02-03T14:03:22.125250Z",
};

function page() {
  const sockets: FakeSocket[] = [];
  const [feed, link] = [new Feed(), new Link(Date.now())];
  const heard = { connected: 0, alarms: [] as string[], readings: [] as [string, Reading][], clocks: [] as number[] };
  const socket = new LiveSocket(
    feed,
    link,
    {
      changed: () => undefined,
      connected: () => (heard.connected += 1),
      alarm: ({ device }) => heard.alarms.push(device),
      told: () => undefined,
      reading: (device, reading) => heard.readings.push([device, reading]),
    },
    {
      url: "ws://host/api/v1/live",
      now: () => Date.now(),
      serverNow: () => Date.now(),
      heard: (at) => heard.clocks.push(at),
      random: () => 1,
      open: (url) => {
        const fake = new FakeSocket(url);
        sockets.push(fake);
        return fake as unknown as WebSocket;
      },
    },
  );
  socket.start();
  const last = (): FakeSocket => sockets.at(-1) as FakeSocket;
  const snapshot = (cursor: string): void => {
    last().accept();
    last().say({ type: "snapshot", cursor, alerts: [ALERT] });
  };
  return { socket, sockets, feed, link, heard, last, snapshot };
}

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("WebSocket", FakeSocket);
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe("live socket", () => {
  it("is live with the snapshot, not before", () => {
    const { link, last, feed, heard } = page();
    last().accept();
    expect(link.phase).toBe("connecting");
    last().say({ type: "snapshot", cursor: "log:1:0", alerts: [ALERT] });
    expect(link.phase).toBe("open");
    expect(feed.alerts.get("1")?.device).toBe("oven");
    expect(heard.connected).toBe(1);
  });

  it("resumes with its cursor and hears what it missed", () => {
    const { sockets, last, snapshot, link, feed } = page();
    snapshot("log:1:0");
    last().cut();
    vi.advanceTimersByTime(600);
    expect(sockets.length).toBe(2);
    expect(last().url).toBe("ws://host/api/v1/live?cursor=log%3A1%3A0");
    last().accept();
    const over = { ...ALERT, state: "resolved", fired_at: ALERT.since, resolved_at: ALERT.since };
    last().say({ type: "transition", cursor: "log:2:0", alert: over });
    expect(link.phase).toBe("connecting");
    last().say({ type: "snapshot", resumed: true, cursor: "log:2:0", alerts: [] });
    expect(link.phase).toBe("open");
    expect(feed.alerts.size).toBe(0);
    expect(feed.ended.size).toBe(1);
    expect(feed.cursor).toBe("log:2:0");
  });

  it("takes the snapshot that a server without its cursor sends instead", () => {
    const { last, snapshot, feed } = page();
    snapshot("log:1:0");
    last().cut();
    vi.advanceTimersByTime(600);
    last().accept();
    last().say({ type: "snapshot", resumed: false, cursor: "other:9:0", alerts: [] });
    expect(feed.alerts.size).toBe(0);
    expect(feed.cursor).toBe("other:9:0");
  });

  it("keeps its alerts when told only that it resumed, or that nothing is new", () => {
    const { last, snapshot, feed, link } = page();
    snapshot("log:1:0");
    for (const said of [{ type: "snapshot", resumed: true }, { type: "heartbeat" }]) {
      last().cut();
      vi.advanceTimersByTime(2000);
      last().accept();
      last().say(said);
      expect(link.phase).toBe("open");
      expect(feed.alerts.size).toBe(1);
    }
  });

  it("is kept alive by heartbeats and given up without them", () => {
    const { sockets, last, snapshot, link } = page();
    snapshot("log:1:0");
    for (let beats = 0; beats < 10; beats += 1) {
      vi.advanceTimersByTime(5000);
      last().say({ type: "heartbeat" });
    }
    expect(sockets.length).toBe(1);
    vi.advanceTimersByTime(12_250);
    expect(link.stale(Date.now())).toBe(true);
    expect(sockets[0]?.readyState).toBe(3);
    vi.advanceTimersByTime(1000);
    expect(sockets.length).toBe(2);
  });

  it("tells a new connection what it wants to hear", () => {
    const { socket, last, snapshot } = page();
    socket.subscribe(["oven"]);
    snapshot("log:1:0");
    expect(last().sent).toEqual([{ type: "subscribe", devices: ["oven"] }]);
    socket.subscribe(["oven"]);
    socket.subscribe([]);
    expect(last().sent.slice(1)).toEqual([{ type: "subscribe", devices: [] }]);
    last().cut();
    socket.subscribe(["fridge"]);
    vi.advanceTimersByTime(600);
    last().accept();
    expect(last().sent).toEqual([{ type: "subscribe", devices: ["fridge"] }]);
  });

  it("hears the server's clock in a heartbeat", () => {
    const { last, snapshot, heard } = page();
    snapshot("log:1:0");
    last().say({ type: "heartbeat", at: "2026-02-03T14:03:22Z" });
    expect(heard.clocks).toEqual([Date.UTC(2026, 1, 3, 14, 3, 22)]);
  });

  it("names no more devices than fit into a message, and never all", () => {
    const { socket, last, snapshot } = page();
    snapshot("log:1:0");
    socket.subscribe(["*", ...Array.from({ length: 100 }, (_, i) => `${i}`.padEnd(256, "ä"))]);
    const message = last().sent.at(-1) as { devices: string[] };
    expect(message.devices.length).toBeGreaterThan(10);
    expect(message.devices).not.toContain("*");
    expect(new TextEncoder().encode(JSON.stringify(message)).length).toBeLessThan(16_384);
  });

  it("hands readings on and says when an alert becomes critical", () => {
    const { last, snapshot, heard } = page();
    snapshot("log:1:0");
    const at = "2026-02-03T14:03:22Z";
    last().say({ type: "reading", device: "oven", metric: "temperature", at, value: 21.5 });
    last().say({ type: "transition", cursor: "log:2:0", alert: { ...ALERT, id: "2" } });
    expect(heard.readings).toEqual([
      ["oven", { metric: "temperature", at: Date.parse(at), value: 21.5 }],
    ]);
    expect(heard.alarms).toEqual(["oven"]);
  });

  it("survives frames it does not understand", () => {
    const { last, snapshot, feed, link } = page();
    snapshot("log:1:0");
    for (const odd of ["", "{", "[]", "null", '{"type":"news"}', '{"type":"transition"}']) {
      last().say(odd);
    }
    last().say({ type: "transition", cursor: "x", alert: { ...ALERT, severity: "__proto__" } });
    expect(feed.cursor).toBe("log:1:0");
    expect(link.phase).toBe("open");
  });

  it("does not listen to a socket that was replaced", () => {
    const { sockets, snapshot, feed } = page();
    snapshot("log:1:0");
    const old = sockets[0] as FakeSocket;
    old.cut();
    vi.advanceTimersByTime(600);
    old.say({ type: "snapshot", cursor: "old", alerts: [] });
    old.cut();
    expect(feed.cursor).toBe("log:1:0");
    expect(sockets.length).toBe(2);
  });

  it("connects no more after it was stopped", () => {
    const { socket, sockets, last, snapshot } = page();
    snapshot("log:1:0");
    last().cut();
    socket.stop();
    vi.advanceTimersByTime(60_000);
    expect(sockets.length).toBe(1);
  });
});
