// Holds the service's own PostgreSQL, all processes of it, and lets it go on: a database that does not
// answer, without losing anything.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

function childrenOf(parent) {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        // The name, in brackets, may have anything in it.
        return Number(readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1).split(" ")[1]) === parent;
      } catch {
        return false;
      }
    })
    .map(Number);
}

/** Sends a signal to the managed server of a data directory and all its children. */
export function signalDatabase(dataDir, signal) {
  const server = Number(readFileSync(join(dataDir, "postgres/postmaster.pid"), "utf8").split("\n")[0]);
  for (const pid of [server, ...childrenOf(server)]) {
    try {
      process.kill(pid, signal);
    } catch (error) {
      // A backend may have ended meanwhile.
      if (error.code !== "ESRCH") throw error;
    }
  }
}
