// Drives the live WebSocket: opens it, hands its frames to the feed, and asks the link what to do.
// All decisions are in `link.ts` and `feed.ts`.
import type { Feed } from "./feed";
import type { Link } from "./link";
import { parseFrame } from "./parse";
import type { Alert, Reading, TransitionFrame } from "./words";

/** How often the link is asked what is due. */
export const TICK_MS = 250;

export interface Listener {
  /** The feed or the link changed. */
  changed(): void;
  /** Connected: what was fetched over HTTP before may be old. */
  connected(): void;
  reading(device: string, reading: Reading): void;
  /** An alert has become critical, and nothing mutes it. */
  alarm(alert: Alert): void;
  /** Something happened to an alert, or was done with it. */
  told(frame: TransitionFrame): void;
}

export interface Surroundings {
  /** `ws://…/api/v1/live`. */
  url: string;
  /** This machine's clock, in ms: for waits. */
  now(): number;
  /** The server's clock, in ms: for ages. */
  serverNow(): number;
  /** Hears what the server's clock says now. */
  heard(at: number): void;
  random(): number;
  open(url: string): WebSocket;
}

/** The server refuses longer messages than 16 KiB; names may be 256 bytes long. */
const NAMES_BYTES_MAX = 12_000;

/** As many of the names as one message holds. `*` would mean every device. */
function fitting(devices: string[]): string[] {
  let n_bytes = 0;
  return devices.filter((device) => {
    n_bytes += new TextEncoder().encode(JSON.stringify(device)).length + 1;
    return n_bytes <= NAMES_BYTES_MAX && device !== "*";
  });
}

export class LiveSocket {
  readonly #feed: Feed;
  readonly #link: Link;
  readonly #listener: Listener;
  readonly #around: Surroundings;
  #socket: WebSocket | null = null;
  #ticker: ReturnType<typeof setInterval> | undefined;
  #devices: string[] = [];

  constructor(feed: Feed, link: Link, listener: Listener, around: Surroundings) {
    this.#feed = feed;
    this.#link = link;
    this.#listener = listener;
    this.#around = around;
  }

  start(): void {
    this.#ticker = setInterval(() => this.tick(), TICK_MS);
    this.tick();
  }

  stop(): void {
    clearInterval(this.#ticker);
    this.#drop();
  }

  /** Does not wait for the next attempt's turn. */
  hurry(): void {
    this.#link.hurry(this.#around.now());
    this.tick();
  }

  /** The devices whose readings are wanted from now on; replaces the earlier ones. */
  subscribe(devices: string[]): void {
    const wanted = fitting(devices);
    const same = wanted.length === this.#devices.length;
    if (same && wanted.every((device, i) => device === this.#devices[i])) return;
    this.#devices = wanted;
    this.#sendSubscription();
  }

  /** Does what is due: connects, or gives up on a silent connection. */
  tick(): void {
    const action = this.#link.tick(this.#around.now());
    if (action === "connect") this.#connect();
    if (action === "abort") this.#lost();
  }

  #connect(): void {
    const { cursor } = this.#feed;
    const query = cursor === null ? "" : `?cursor=${encodeURIComponent(cursor)}`;
    this.#link.connecting(this.#around.now());
    const socket = this.#around.open(this.#around.url + query);
    this.#socket = socket;
    // An old socket may speak after a new one was made: it is not listened to.
    const current = (): boolean => this.#socket === socket;
    socket.onopen = () => current() && this.#sendSubscription();
    socket.onmessage = (event) => current() && this.#message(event.data);
    socket.onclose = () => current() && this.#lost();
    this.#listener.changed();
  }

  /** What we missed has been told: what the page shows is the present. */
  #live(now: number): void {
    this.#link.opened(now);
    this.#listener.connected();
  }

  #message(data: unknown): void {
    const [now, serverNow] = [this.#around.now(), this.#around.serverNow()];
    const frame = parseFrame(data);
    this.#link.frame(now);
    if (frame === null) return;
    switch (frame.type) {
      case "snapshot":
        this.#feed.snapshot(frame, serverNow);
        this.#live(now);
        break;
      case "transition":
      case "step": {
        const isAlarm = this.#feed.transition(frame, serverNow);
        // Nobody is called for what somebody did; a snooze that ends by itself calls.
        if (isAlarm && frame.event?.by == null) this.#listener.alarm(frame.alert);
        this.#listener.told(frame);
        break;
      }
      case "gone":
        this.#feed.gone(frame.id, frame.cursor);
        break;
      case "operators":
        this.#feed.present(frame.here);
        break;
      case "reading":
        this.#listener.reading(frame.device, frame.reading);
        break;
      case "heartbeat":
        if (frame.at !== null) this.#around.heard(frame.at);
        // A server that has nothing more to tell us than a heartbeat has brought us up to date.
        if (this.#link.phase === "connecting" && this.#feed.cursor !== null) this.#live(now);
        break;
    }
    this.#listener.changed();
  }

  #sendSubscription(): void {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    this.#socket.send(JSON.stringify({ type: "subscribe", devices: this.#devices }));
  }

  #lost(): void {
    this.#drop();
    this.#link.closed(this.#around.now(), this.#around.random());
    this.#listener.changed();
  }

  #drop(): void {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }
}
