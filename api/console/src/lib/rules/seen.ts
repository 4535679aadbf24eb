// What it means for a draft that the rule was seen as it is now.

export interface Kept {
  toml: string;
  /** Counts its changes; null for a rule of the file. */
  revision: number | null;
}

/**
 * `known`: nothing new, or an answer that was overtaken by another. `take`: it is newer, and nothing of
 * the draft is lost. `conflict`: it is newer, and has another text, and so has the draft.
 */
export function seen(draft: Kept & { text: string }, rule: Kept): "known" | "take" | "conflict" {
  const isNewer = rule.revision === null ? rule.toml !== draft.toml : rule.revision > (draft.revision ?? -1);
  if (!isNewer) return "known";
  const isMine = draft.text !== draft.toml && draft.text !== rule.toml;
  return isMine && rule.toml !== draft.toml ? "conflict" : "take";
}
