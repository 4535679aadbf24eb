// The reader's preferences, as components watch them; each change is kept and shown at once, in the
// other windows too.
import { setTimeZone } from "./format";
import { KEY, parsePreferences, type Preferences, zoneOf } from "./preferences";

function load(): Preferences {
  try {
    return parsePreferences(localStorage.getItem(KEY));
  } catch {
    return parsePreferences(null);
  }
}

class Preferred {
  now = $state.raw(load());
  /** The height of a row of a list, in px. */
  readonly rowHeight = $derived(this.now.density === "compact" ? 32 : 40);

  /** Called once. */
  start(): void {
    this.#show();
    addEventListener("storage", (event) => {
      if (event.key !== KEY) return;
      this.now = load();
      this.#show();
    });
  }

  set(some: Partial<Preferences>): void {
    this.now = { ...this.now, ...some };
    this.#show();
    try {
      localStorage.setItem(KEY, JSON.stringify(this.now));
    } catch {
      // Not kept, but shown.
    }
  }

  #show(): void {
    const { theme, density } = this.now;
    const { dataset } = document.documentElement;
    if (theme === "system") delete dataset["theme"];
    else dataset["theme"] = theme;
    dataset["density"] = density;
    setTimeZone(zoneOf(this.now));
    dispatchEvent(new Event("bellwire-theme"));
  }
}

export const preferences = new Preferred();
