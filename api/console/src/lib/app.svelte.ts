// The one state of the console: what the feed, the link and the server say, as Svelte can watch
// it. Arrays and maps are plain and are replaced at most once per animation frame.
import { alarm } from "./alarm";
import * as api from "./api";
import { learnOffset, serverNow } from "./clock";
import { type Entry, mergeEntries } from "./devices";
import {
  alertsByDevice,
  compareAlerts,
  compareEnded,
  countAlerts,
  type DeviceAlerts,
  Feed,
} from "./feed";
import { Fetcher } from "./fetcher";
import { oncePerFrame } from "./frame";
import { LatestValues } from "./latest";
import { Link } from "./link";
import { poll } from "./poll";
import { preferences } from "./preferences.svelte";
import { session } from "./session.svelte";
import { LiveSocket } from "./socket";
import type { Alert, Health, Reading, Rule, TransitionFrame } from "./words";

/** How often ages are counted on. */
const TICK_MS = 250;
/** How often the alerts that ended are asked for: a few times soon after a connection, then slowly. */
const PAST_SOON = 2;
const PAST_SOON_MS = 3_000;
const PAST_MS = 30_000;
/** How long a view must stand still before its devices are asked for: not one message per row. */
const WATCH_AFTER_MS = 120;

const feed = new Feed();
const link = new Link(Date.now());

function alertsView() {
  const active = [...feed.alerts.values()].sort(compareAlerts);
  return {
    /** A snapshot has been seen: an empty list means that there are none. */
    known: feed.cursor !== null,
    active,
    ended: [...feed.ended.values()].map(({ alert }) => alert).sort(compareEnded),
    counts: countAlerts(active),
    byDevice: alertsByDevice(active) as ReadonlyMap<string, DeviceAlerts>,
    path: feed.path(),
    operators: feed.operators,
    acts: feed.acts,
  };
}

function linkView() {
  const now = Date.now();
  return {
    phase: link.phase,
    stale: link.stale(now),
    retryIn_ms: Math.max(0, link.retryAt - now),
    frameAge_ms: link.lastFrameAt === null ? null : Math.max(0, now - link.lastFrameAt),
    /** The server's time of the last frame: what the page shows was true then. */
    asOf: link.lastFrameAt === null ? null : link.lastFrameAt + serverNow() - now,
  };
}

class App {
  now = $state(serverNow());
  alerts = $state.raw(alertsView());
  link = $state.raw(linkView());
  devices = $state.raw<Entry[] | null>(null);
  rules = $state.raw<Rule[] | null>(null);
  health = $state.raw<Health | null>(null);
  /** Counts the redraws that brought readings. */
  readings = $state(0);
  /** Counts the connections: what was fetched before the last one may be old. */
  epoch = $state(0);
  /** What a screen reader says: alerts that became critical. */
  announcement = $state("");
  readonly latest = new LatestValues();
  readonly onReading = new Set<(device: string, reading: Reading) => void>();
  /** Hear of everything that happens to an alert. */
  readonly onTold = new Set<(frame: TransitionFrame) => void>();
  /** Which new critical alerts are told aloud: while a filtered list is shown, those of it. */
  isWanted: (alert: Alert) => boolean = () => true;

  #stopPast: () => void = () => undefined;
  #watcher: ReturnType<typeof setTimeout> | undefined;
  #version = feed.version;
  #entries = new Map<string, Entry>();
  #hasReadings = false;
  #alarms: Alert[] = [];
  readonly #redraw = oncePerFrame(() => this.#draw());
  readonly #fetcher = new Fetcher((device) => this.#fetchLatest(device), () => Date.now());
  readonly #socket = new LiveSocket(
    feed,
    link,
    {
      changed: () => this.#redraw(),
      connected: () => this.#connected(),
      alarm: (alert) => this.isWanted(alert) && this.#alarms.push(alert),
      told: (frame) => this.onTold.forEach((listener) => listener(frame)),
      reading: (device, reading) => this.#reading(device, reading),
    },
    {
      url: `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/v1/live`,
      now: () => Date.now(),
      serverNow,
      heard: (at) => learnOffset(at, Date.now()),
      random: () => Math.random(),
      open: (url) => new WebSocket(url),
    },
  );

  /** Connects and starts to count ages. Called once, for as long as the page lives. */
  start(): void {
    this.#socket.start();
    setInterval(() => this.#tick(), TICK_MS);
    addEventListener("online", () => this.retry());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.retry();
    });
    // The browser had put the page to sleep.
    document.addEventListener("resume", () => this.retry());
  }

  /** How far the page has heard; null before it has heard anything. */
  get cursor(): string | null {
    return feed.cursor;
  }

  /** Connects now if it was going to wait. */
  retry(): void {
    this.#socket.hurry();
  }

  /** The devices in view: their readings are wanted live. */
  watch(devices: string[]): void {
    clearTimeout(this.#watcher);
    this.#watcher = setTimeout(() => {
      this.#socket.subscribe(devices);
      this.#fetcher.want(devices);
    }, WATCH_AFTER_MS);
  }

  /** Fetches the list of devices. */
  async loadDevices(signal: AbortSignal): Promise<void> {
    const fresh = await api.devices(signal);
    const list = mergeEntries(this.devices ?? [], fresh);
    this.#entries = new Map(list.map((entry) => [entry.device, entry]));
    this.devices = list;
  }

  async loadRules(signal: AbortSignal): Promise<void> {
    this.rules = await api.rules(signal);
  }

  async #fetchLatest(device: string): Promise<void> {
    this.latest.put(device, await api.latest(device, new AbortController().signal));
    this.#hasReadings = true;
    this.#redraw();
  }

  #reading(device: string, reading: Reading): void {
    this.latest.put(device, [reading]);
    const entry = this.#entries.get(device);
    if (entry !== undefined) entry.last_seen = serverNow();
    for (const listener of this.onReading) listener(device, reading);
    this.#hasReadings = true;
  }

  #connected(): void {
    this.#fetcher.forget();
    this.epoch += 1;
    // What ended a moment ago may not be in the history yet, and the database may be away: the
    // page goes on and asks again.
    let n_asked = 0;
    this.#stopPast();
    this.#stopPast = poll(
      async (signal) => {
        feed.past(await api.resolvedAlerts(signal), serverNow());
        n_asked += 1;
        this.#redraw();
      },
      () => (n_asked <= PAST_SOON ? PAST_SOON_MS : PAST_MS),
      () => undefined,
    );
  }

  #tick(): void {
    this.now = serverNow();
    feed.expire(this.now);
    this.#redraw();
  }

  #draw(): void {
    const before = this.link.phase;
    this.link = linkView();
    // A socket that is refused does not say why: the session may be over.
    if (this.link.phase === "waiting" && before !== "waiting" && session.me !== null) void session.ask();
    if (this.#version !== feed.version) {
      this.#version = feed.version;
      this.alerts = alertsView();
    }
    if (this.#hasReadings) {
      this.#hasReadings = false;
      this.readings += 1;
    }
    if (this.#alarms.length > 0) {
      this.announcement = announce(this.#alarms.splice(0));
      alarm(this.announcement, preferences.now);
    }
  }
}

/** One sentence, however many at once: a storm must not talk for minutes. */
function announce(alarms: Alert[]): string {
  const [first] = alarms;
  if (first === undefined) return "";
  if (alarms.length > 3) return `${alarms.length} new critical alerts`;
  return alarms.map(({ device, rule, summary }) => `Critical: ${device}, ${summary || rule}`).join(". ");
}

export const app = new App();
