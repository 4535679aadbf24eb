// The keys and commands of the page of alerts. What they do, the page says.
import { commands } from "../commands";
import { type Key, keys } from "../keys";
import type { Action, Details } from "./acts";
import type { Board } from "./board.svelte";

export interface Deeds {
  go(by: number): void;
  open(): void;
  toggle(): void;
  extend(): void;
  all(): void;
  clear(): void;
  act(action: Action, details?: Details): void;
  ask(what: "assign" | "comment" | "snooze" | "silence"): void;
}

/** Adds them until the returned function is called. */
export function addAlertKeys(deeds: Deeds, board: Board, mayAct: boolean): () => void {
  const looking: Key[] = [
    { combo: "j", title: "Next alert", run: () => deeds.go(1) },
    { combo: "k", title: "Alert before", run: () => deeds.go(-1) },
    { combo: "o", title: "Open the alert, or the group; Enter does it too", run: deeds.open },
    { combo: "Escape", title: "Choose none", run: deeds.clear },
  ];
  const acting: Key[] = [
    { combo: "x", title: "Choose the alert", run: deeds.toggle },
    { combo: "shift+x", title: "Choose all up to this alert", run: deeds.extend },
    { combo: "*", title: "Choose all that match", run: deeds.all },
    { combo: "a", title: "Acknowledge", run: () => deeds.act("ack") },
    { combo: "u", title: "Unacknowledge", run: () => deeds.act("unack") },
    ...(board.me === null ? [] : [{ combo: "m", title: "Assign to me", run: () => deeds.act("assign", { to: board.me }) }]),
    { combo: "i", title: "Assign…", run: () => deeds.ask("assign") },
    { combo: "c", title: "Comment…", run: () => deeds.ask("comment") },
    { combo: "s", title: "Snooze…", run: () => deeds.ask("snooze") },
    { combo: "shift+s", title: "Silence…", run: () => deeds.ask("silence") },
    { combo: "w", title: "End the snooze", run: () => deeds.act("unsnooze") },
  ];
  const all = mayAct ? [...looking, ...acting] : looking;
  const offered = acting.filter(({ combo }) => !["x", "shift+x"].includes(combo));
  const stops = [
    keys.add(all),
    commands.add(() => [
      ...(mayAct ? offered : []).map(({ combo, title, run }) => ({ title, combo, run, group: "Alerts" })),
      ...["rule", "device", ...board.view.labels].map((label) => ({
        title: `Group by ${label}`,
        group: "Alerts",
        run: () => board.set({ group: label }),
      })),
      { title: "No groups", group: "Alerts", run: () => board.set({ group: "" }) },
    ]),
  ];
  return () => stops.forEach((stop) => stop());
}
