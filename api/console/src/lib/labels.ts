// Labels that somebody edits while others may: what to send, and what the others did.
import { nameFault, valueFault } from "./devimport";

export interface LabelRow {
  name: string;
  value: string;
}

export type LabelMap = Readonly<Record<string, string>>;

export function rowsOf(labels: LabelMap): LabelRow[] {
  return Object.entries(labels).map(([name, value]) => ({ name, value }));
}

/** What is wrong with each row, in its order; null where nothing is. Rows without name and value do not count. */
export function faultsOf(rows: readonly LabelRow[]): (string | null)[] {
  return rows.map(({ name, value }, i) => {
    if (name === "" && value === "") return null;
    if (name === "") return "The label needs a name.";
    if (rows.findIndex((row) => row.name === name) < i) return `“${name}” stands twice.`;
    return nameFault(name) ?? valueFault(value);
  });
}

/** The merge patch that makes `after` of `before`: null removes. Empty if nothing changes. */
export function patchOf(before: LabelMap, after: readonly LabelRow[]): Record<string, string | null> {
  const wanted = new Map(after.filter(({ name }) => name !== "").map(({ name, value }) => [name, value]));
  const patch: Record<string, string | null> = {};
  for (const name of Object.keys(before)) if (!wanted.has(name)) patch[name] = null;
  for (const [name, value] of wanted) if (before[name] !== value) patch[name] = value;
  return patch;
}

/** One label that somebody else changed meanwhile. */
export interface Conflict {
  name: string;
  /** What it was when the form was opened, and what they made of it; null: not there. */
  was: string | null;
  theirs: string | null;
  /** What this form would make of it. */
  mine: string | null;
}

export function conflictsOf(base: LabelMap, theirs: LabelMap, mine: readonly LabelRow[]): Conflict[] {
  const names = [...new Set([...Object.keys(base), ...Object.keys(theirs)])].sort();
  return names
    .filter((name) => base[name] !== theirs[name])
    .map((name) => ({
      name,
      was: base[name] ?? null,
      theirs: theirs[name] ?? null,
      mine: mine.find((row) => row.name === name)?.value ?? null,
    }));
}

/** The form's rows once it knows what the others did: their changes, but for what was changed here too. */
export function rebased(base: LabelMap, theirs: LabelMap, mine: readonly LabelRow[]): LabelRow[] {
  const patch = patchOf(base, mine);
  const merged: Record<string, string> = { ...theirs };
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete merged[name];
    else merged[name] = value;
  }
  return rowsOf(merged);
}
