// Filters that live in the address: a link to a page shows what its sender saw. Each filter says
// how it is read and written; what stands at its default is not in the address.

/** How one filter is read from the address and written into it. */
export interface Codec<V> {
  /** From what stands in the address; anything else than a known value is the default. */
  read(text: string | null): V;
  /** Null where it is the default. */
  write(value: V): string | null;
}

export type ValuesOf<S> = { [K in keyof S]: S[K] extends Codec<infer V> ? V : never };

export function text(fallback = ""): Codec<string> {
  return { read: (text) => text ?? fallback, write: (value) => (value === fallback ? null : value) };
}

/** One of a few words. */
export function oneOf<W extends string, F extends W | null>(words: readonly W[], fallback: F): Codec<W | F> {
  return {
    read: (text) => words.find((word) => word === text) ?? fallback,
    write: (value) => (value === fallback ? null : value),
  };
}

/** Several of a few words, in their order; none means all. */
export function someOf<W extends string>(words: readonly W[]): Codec<W[]> {
  return {
    read: (text) => {
      const given = (text ?? "").split(",");
      return words.filter((word) => given.includes(word));
    },
    write: (value) => (value.length === 0 ? null : words.filter((word) => value.includes(word)).join(",")),
  };
}

/** Yes, or nothing. */
export function flag(): Codec<boolean> {
  return { read: (text) => text === "1", write: (value) => (value ? "1" : null) };
}

/** The filters of an address. */
export function readQuery<S extends Record<string, Codec<any>>>(shape: S, search: string): ValuesOf<S> {
  const query = new URLSearchParams(search);
  const pairs = Object.entries(shape).map(([name, codec]) => [name, codec.read(query.get(name))]);
  return Object.fromEntries(pairs) as ValuesOf<S>;
}

/** The address's query with other values of some filters; what is not of the shape stays. */
export function writeQuery<S extends Record<string, Codec<any>>>(
  shape: S,
  search: string,
  values: Partial<ValuesOf<S>>,
): string {
  const query = new URLSearchParams(search);
  for (const [name, codec] of Object.entries(shape)) {
    if (!(name in values)) continue;
    const written = codec.write(values[name as keyof S]);
    if (written === null) query.delete(name);
    else query.set(name, written);
  }
  const text = query.toString();
  return text === "" ? "" : `?${text}`;
}
