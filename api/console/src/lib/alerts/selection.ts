// Which alerts are chosen, and where the reader is, in a list that changes under his hands.

export interface Selection {
  /** The chosen ones. */
  readonly chosen: ReadonlySet<string>;
  /** Where `j` and `k` are; null: nowhere yet. */
  readonly at: string | null;
  /** Where a choice of many begins. */
  readonly anchor: string | null;
}

export const NOTHING: Selection = { chosen: new Set(), at: null, anchor: null };

/** Goes `by` rows on; what is not in the list any more is left at the end that is nearest. */
export function move(selection: Selection, ids: readonly string[], by: number): Selection {
  if (ids.length === 0) return { ...selection, at: null };
  const from = selection.at === null ? -1 : ids.indexOf(selection.at);
  const to = from < 0 ? (by > 0 ? 0 : ids.length - 1) : Math.min(Math.max(from + by, 0), ids.length - 1);
  return { ...selection, at: ids[to] ?? null };
}

/** Chooses one, or no longer. */
export function toggle(selection: Selection, id: string): Selection {
  const chosen = new Set(selection.chosen);
  if (!chosen.delete(id)) chosen.add(id);
  return { chosen, at: id, anchor: id };
}

/** Chooses all from the anchor to this one. */
export function extend(selection: Selection, ids: readonly string[], id: string): Selection {
  const [from, to] = [ids.indexOf(selection.anchor ?? selection.at ?? id), ids.indexOf(id)];
  if (from < 0 || to < 0) return toggle(selection, id);
  const between = ids.slice(Math.min(from, to), Math.max(from, to) + 1);
  return { ...selection, chosen: new Set([...selection.chosen, ...between]), at: id };
}

/** Chooses exactly these. */
export function choose(selection: Selection, ids: readonly string[]): Selection {
  return { ...selection, chosen: new Set(ids) };
}

/** Forgets what is not there any more; the same selection if all of it is. */
export function keep(selection: Selection, ids: ReadonlySet<string>): Selection {
  const isAll = [...selection.chosen].every((id) => ids.has(id));
  return isAll ? selection : { ...selection, chosen: new Set([...selection.chosen].filter((id) => ids.has(id))) };
}
