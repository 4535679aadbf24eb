// The page of alerts as it is used: its filters, what is chosen in it, what is folded, and what is
// fetched for the rows in view. What decides is in the plain files beside this one.
import { app } from "../app.svelte";
import { Fetcher } from "../fetcher";
import { parseMatchers } from "../matchers";
import { flag, oneOf, someOf, text } from "../query";
import { router } from "../router.svelte";
import { session } from "../session.svelte";
import { type Alert, SEVERITIES } from "../words";
import { metricOf, namesIn } from "./condition";
import { type AlertFilters, arrange, isAlert, type Item, MUTES, SORTS, STATE_FILTERS, wanting } from "./list";
import { choose, extend, keep, move, NOTHING, type Selection, toggle } from "./selection";
import { fetchLine, Sparks } from "./sparks";

const SHAPE = {
  severity: someOf(SEVERITIES),
  state: oneOf(STATE_FILTERS, null),
  rule: text(),
  labels: text(),
  q: text(),
  mine: flag(),
  unacked: flag(),
  show: someOf(MUTES),
  group: text(),
  sort: oneOf(SORTS, "severity"),
};

/** What leaves nothing out; how the list is put together stays. */
export const NO_FILTERS: Partial<AlertFilters> = {
  severity: [],
  state: null,
  rule: "",
  labels: "",
  q: "",
  mine: false,
  unacked: false,
};

/** How long a view must stand still before anything is fetched for it. */
const REST_MS = 150;

const keyOf = (device: string, metric: string): string => JSON.stringify([device, metric]);

export class Board {
  readonly #filters = router.filters(SHAPE);
  readonly #matchers = $derived(parseMatchers(this.filters.labels).matchers);
  readonly me = $derived(session.me?.name ?? null);
  closed = $state.raw<ReadonlySet<string>>(new Set());
  selection = $state.raw<Selection>(NOTHING);
  readonly view = $derived(
    arrange(app.alerts.active, app.alerts.ended, this.filters, this.#matchers, this.me, this.closed),
  );
  /** What `j` and `k` go through. */
  readonly ids = $derived(this.view.items.filter((item) => !("title" in item)).map(({ id }) => id));
  /** The chosen alerts that are there and shown. */
  readonly chosen = $derived(this.view.alerts.filter(({ id }) => this.selection.chosen.has(id)));
  /** Counts what has been fetched for rows. */
  fetched = $state(0);

  readonly sparks = new Sparks();
  #rest: ReturnType<typeof setTimeout> | undefined;
  readonly #lines = new Fetcher(async (key) => {
    const [device, metric] = JSON.parse(key) as [string, string];
    this.sparks.load(device, metric, await fetchLine(device, metric));
    this.fetched += 1;
  }, () => Date.now());

  get filters(): AlertFilters {
    return this.#filters.values;
  }

  set(some: Partial<AlertFilters>): void {
    this.#filters.set(some);
  }

  /** What an action is done with: the chosen alerts, else the one where the reader is. */
  targets(): Alert[] {
    if (this.chosen.length > 0) return this.chosen;
    const here = this.view.items.find(({ id }) => id === this.selection.at);
    if (here === undefined) return [];
    return isAlert(here) ? [here] : "alerts" in here ? here.alerts : [];
  }

  move(by: number): number {
    this.selection = move(this.selection, this.ids, by);
    return this.view.items.findIndex(({ id }) => id === this.selection.at);
  }

  toggle(id: string): void {
    this.selection = toggle(this.selection, id);
  }

  /** Chooses all between the last one chosen and this one. */
  extend(id: string): void {
    const ids = this.view.items.filter(isAlert).map((alert) => alert.id);
    this.selection = extend(this.selection, ids, id);
  }

  /** Chooses all that match, or none if all are. */
  all(): void {
    const ids = this.view.alerts.map(({ id }) => id);
    this.selection = choose(this.selection, this.chosen.length === ids.length ? [] : ids);
  }

  /** Chooses all of a group, or none if all are. */
  group(alerts: readonly Alert[]): void {
    const chosen = new Set(this.selection.chosen);
    const isAll = alerts.every(({ id }) => chosen.has(id));
    for (const { id } of alerts) {
      if (isAll) chosen.delete(id);
      else chosen.add(id);
    }
    this.selection = { ...this.selection, chosen };
  }

  none(): void {
    this.selection = choose(this.selection, []);
  }

  /** Opens or closes a group. */
  fold(id: string): void {
    const closed = new Set(this.closed);
    if (!closed.delete(id)) closed.add(id);
    this.closed = closed;
  }

  /** Forgets what is chosen and over. Called when the alerts change. */
  prune(): void {
    this.selection = keep(this.selection, new Set(app.alerts.active.map(({ id }) => id)));
  }

  /** The metric that an alert's rule looks at; null where that is not known. */
  metric(alert: Alert): string | null {
    const when = app.rules?.find(({ name }) => name === alert.rule)?.when;
    if (when === undefined || alert.device.startsWith("{")) return null;
    const known = app.latest.of(alert.device)?.map(({ metric }) => metric) ?? [];
    return metricOf(when, known) ?? namesIn(when)[0] ?? null;
  }

  /** The rows in view: what they show is fetched, once they stand still. */
  look(items: Item[]): void {
    clearTimeout(this.#rest);
    const alerts = items.filter(isAlert);
    app.watch([...new Set(alerts.map(({ device }) => device).filter((device) => !device.startsWith("{")))]);
    this.#rest = setTimeout(() => {
      this.#lines.want(
        alerts.flatMap((alert) => {
          const metric = this.metric(alert);
          return metric === null ? [] : [keyOf(alert.device, metric)];
        }),
      );
    }, REST_MS);
  }

  /** Hears readings, and which alerts are to be told aloud, until the returned function is called. */
  listen(): () => void {
    const onReading: Parameters<typeof app.onReading.add>[0] = (device, reading) => this.sparks.add(device, reading);
    app.onReading.add(onReading);
    app.isWanted = (alert) => wanting(this.filters, this.#matchers, this.me)(alert);
    return () => {
      clearTimeout(this.#rest);
      app.onReading.delete(onReading);
      app.isWanted = () => true;
    };
  }

  /** After a reconnection nothing that was fetched is trusted. */
  forget(): void {
    this.sparks.clear();
    this.#lines.forget();
  }
}
