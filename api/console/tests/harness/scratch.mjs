// Files beside the service that a flow's settings name. They go when the flows have ended.
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Writes files, by name, into a folder of their own; the folder. */
export function scratch(files) {
  const folder = mkdtempSync(join(tmpdir(), "bellwire-scratch-"));
  chmodSync(folder, 0o755);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
