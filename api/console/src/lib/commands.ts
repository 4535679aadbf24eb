// What the command palette offers. Pages add commands while they are shown; whoever can find
// things by name adds a finder.
import type { Role } from "./session";

export interface Command {
  /** The same words as the button that does it. */
  title: string;
  /** Under which heading: `Go to`, `Alert`, `Device` … */
  group: string;
  /** The key that does it too, as in `keys.ts`. */
  combo?: string;
  /** Who may: this role and those above. Default: everybody. */
  role?: Role;
  /** More words that find it. */
  words?: string;
  run: () => void;
}

/** Finds things by what was typed; at most a handful, the best first. */
export type Finder = (text: string, signal: AbortSignal) => Promise<Command[]>;

export class Commands {
  readonly #sets = new Set<() => Command[]>();
  readonly #finders = new Set<Finder>();

  /** Adds commands until the returned function is called; they are asked for when the palette opens. */
  add(commands: () => Command[]): () => void {
    this.#sets.add(commands);
    return () => this.#sets.delete(commands);
  }

  addFinder(finder: Finder): () => void {
    this.#finders.add(finder);
    return () => this.#finders.delete(finder);
  }

  all(): Command[] {
    return [...this.#sets].flatMap((set) => set());
  }

  /** What all finders find. One that fails finds nothing. */
  async find(text: string, signal: AbortSignal): Promise<Command[]> {
    const found = await Promise.all([...this.#finders].map((find) => find(text, signal).catch(() => [])));
    return found.flat();
  }
}

/** Those that have every word typed, those that begin with what was typed first. */
export function filterCommands(list: Command[], typed: string): Command[] {
  const text = typed.trim().toLowerCase();
  const words = text.split(/\s+/);
  const rank = (command: Command): number => {
    const title = command.title.toLowerCase();
    if (title.startsWith(text)) return 0;
    return words.every((word) => title.includes(word)) ? 1 : 2;
  };
  return list
    .filter(({ title, group, words: more = "" }) => {
      const haystack = `${title} ${group} ${more}`.toLowerCase();
      return words.every((word) => haystack.includes(word));
    })
    .map((command, i) => ({ command, rank: rank(command), i }))
    .sort((a, b) => a.rank - b.rank || a.i - b.i)
    .map(({ command }) => command);
}

export const commands = new Commands();
