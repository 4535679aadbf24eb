// Where one is: the page, the parts of its path, and the filters in its address.
import { type Page, PAGES } from "../pages";
import { type Codec, readQuery, type ValuesOf, writeQuery } from "./query";
import { matchPage, type Params } from "./route";

/** The address's word for a screen on a wall: no header, and nothing to press. */
const KIOSK = "kiosk";

/** Filters of a page, as it watches and sets them. */
export interface Filters<S> {
  readonly values: ValuesOf<S>;
  /** Sets some; the address changes in place, and the way back does not grow. */
  set(values: Partial<ValuesOf<S>>): void;
}

/** Asked before the page is left: whether it may be. */
export type Guard = () => Promise<boolean>;

class Router {
  #guard: Guard | null = null;
  path = $state.raw(location.pathname);
  search = $state.raw(location.search);
  readonly #match = $derived(matchPage(PAGES, this.path));
  /** What a page about one thing is called, where that is not a part of its path. */
  name = $state<string | null>(null);
  readonly kiosk = $derived(new URLSearchParams(this.search).get(KIOSK) === "1");

  /** Null where the path is no page. */
  get page(): Page | null {
    return this.#match?.page ?? null;
  }

  get params(): Params {
    return this.#match?.params ?? {};
  }

  start(): void {
    addEventListener("popstate", () => {
      const [to, here] = [location.pathname + location.search, this.path + this.search];
      if (this.#guard === null || location.pathname === this.path) return this.#read();
      // It is left only if one may: until then the address is the page's.
      history.pushState(null, "", here);
      this.go(to);
    });
  }

  /** From now on `guard` is asked before the page is left, until the returned function is called. */
  guard(guard: Guard): () => void {
    this.#guard = guard;
    return () => {
      if (this.#guard === guard) this.#guard = null;
    };
  }

  /** Shows the page of a path of ours, with its query. */
  go(to: string): void {
    if (this.#guard === null) return this.#go(to);
    void this.#guard().then((may) => {
      if (!may) return;
      this.#guard = null;
      this.#go(to);
    });
  }

  #go(to: string): void {
    const url = new URL(to, location.origin);
    if (this.kiosk) url.searchParams.set(KIOSK, "1");
    history.pushState(null, "", url.pathname + url.search);
    this.#read();
    document.getElementById("main")?.scrollTo(0, 0);
  }

  /** Begins or ends the look of a screen on a wall. */
  setKiosk(on: boolean): void {
    const query = new URLSearchParams(location.search);
    if (on) query.set(KIOSK, "1");
    else query.delete(KIOSK);
    this.#replace(query.size === 0 ? "" : `?${query}`);
  }

  /** Filters that live in the address: `const filters = router.filters({ q: text() })`. */
  filters<S extends Record<string, Codec<any>>>(shape: S): Filters<S> {
    const values = $derived(readQuery(shape, this.search));
    return {
      get values() {
        return values;
      },
      set: (some) => this.#replace(writeQuery(shape, location.search, some)),
    };
  }

  #replace(search: string): void {
    history.replaceState(null, "", location.pathname + search);
    this.#read();
  }

  #read(): void {
    if (this.path !== location.pathname) this.name = null;
    this.path = location.pathname;
    this.search = location.search;
  }
}

export const router = new Router();
