// Which key means what: single keys, `mod+k`, and sequences like `g a`. Pages say which are theirs
// while they are shown; `?` lists them all. Nothing is heard while somebody writes, but for `mod`.

export interface Key {
  /** `/`, `?`, `Escape`, `mod+k` (Ctrl or Cmd), `shift+a`, or two letters one after the other: `g a`. */
  combo: string;
  /** What it does, for the list of keys. */
  title: string;
  run: () => void;
}

/** What of a keyboard event counts. */
export interface Stroke {
  key: string;
  ctrlKey: boolean;
  metaKey: boolean;
  altKey: boolean;
  shiftKey: boolean;
}

/** How long the second letter of a sequence may take. */
export const SEQUENCE_MAX_MS = 1_500;

/** A stroke as a combo writes it; null for those that mean nothing alone. */
export function strokeOf({ key, ctrlKey, metaKey, altKey, shiftKey }: Stroke): string | null {
  if (["Shift", "Control", "Meta", "Alt", "AltGraph", "Dead"].includes(key) || altKey) return null;
  const isLetter = /^\p{L}$/u.test(key);
  const name = isLetter ? key.toLowerCase() : key;
  if (ctrlKey || metaKey) return `mod+${shiftKey ? "shift+" : ""}${name}`;
  return shiftKey && (isLetter || key.length > 1) ? `shift+${name}` : name;
}

export class Keys {
  readonly #sets: Key[][] = [];
  #first: { stroke: string; at: number } | null = null;

  /** Adds keys until the returned function is called. Those added last win. */
  add(keys: Key[]): () => void {
    this.#sets.push(keys);
    return () => {
      const index = this.#sets.indexOf(keys);
      if (index >= 0) this.#sets.splice(index, 1);
    };
  }

  /** All keys that count now, those added last first. */
  all(): Key[] {
    const seen = new Set<string>();
    return this.#sets
      .toReversed()
      .flat()
      .filter(({ combo }) => !seen.has(combo) && seen.add(combo));
  }

  /** The key that a stroke at `now` completes; null if it is none, or the first of two. */
  press(stroke: string, now: number): Key | null {
    const first = this.#first !== null && now - this.#first.at <= SEQUENCE_MAX_MS ? this.#first.stroke : null;
    this.#first = null;
    const all = this.all();
    const key =
      all.find(({ combo }) => first !== null && combo === `${first} ${stroke}`) ??
      all.find(({ combo }) => combo === stroke);
    if (key !== undefined) return key;
    if (all.some(({ combo }) => combo.startsWith(`${stroke} `))) this.#first = { stroke, at: now };
    return null;
  }
}

export const keys = new Keys();

function isWriting(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  const isField = target instanceof HTMLInputElement && !["checkbox", "radio", "button"].includes(target.type);
  return isField || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement || target.isContentEditable;
}

/** Hears the keyboard of the document. */
export function listen(): void {
  addEventListener("keydown", (event) => {
    const stroke = event.defaultPrevented || event.isComposing ? null : strokeOf(event);
    if (stroke === null) return;
    const isMod = stroke.startsWith("mod+");
    // A dialog has keys of its own.
    if (!isMod && (isWriting(event.target) || document.querySelector("dialog[open]") !== null)) return;
    const key = keys.press(stroke, performance.now());
    if (key === null) return;
    event.preventDefault();
    key.run();
  });
}

/** A combo as people read it: `Ctrl K`, `g then a`. */
export function sayCombo(combo: string, isMac: boolean): string {
  return combo
    .split(" ")
    .map((stroke) => {
      const parts = stroke === "+" ? [stroke] : stroke.split(/\+(?=.)/);
      return parts
        .map((part) => (part === "mod" ? (isMac ? "⌘" : "Ctrl") : part === "shift" ? "Shift" : part === "Escape" ? "Esc" : part))
        .map((part, i, all) => (all.length > 1 && i === all.length - 1 && part.length === 1 ? part.toUpperCase() : part))
        .join(" ");
    })
    .join(" then ");
}

export const IS_MAC = typeof navigator !== "undefined" && /Mac|iP(hone|ad)/.test(navigator.userAgent);
