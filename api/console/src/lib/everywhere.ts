// The keys and commands that count on every page: going to pages, searching, help, and the look.
import { PAGES, type Page } from "../pages";
import { app } from "./app.svelte";
import { type Command, commands } from "./commands";
import { filterEntries } from "./devices";
import { keys } from "./keys";
import { THEMES, ZONES } from "./preferences";
import { preferences } from "./preferences.svelte";
import { devicePath } from "./route";
import { router } from "./router.svelte";
import { session } from "./session.svelte";
import { ui } from "./ui.svelte";

/** The pages that whoever is signed in can go to without saying of what. */
export function places(): Page[] {
  return PAGES.filter((page) => !page.path.includes("{") && session.may(page.role ?? "viewer"));
}

/** Those of them that stand in the navigation. */
export function navigation(): Page[] {
  return places().filter((page) => page.under === undefined && page.menu !== true);
}

/** Puts the focus into the page's search, if it has one. */
function search(): void {
  document.querySelector<HTMLElement>('main input[type="search"]')?.focus();
}

const ZONE_WORDS = { local: "Show times of this machine", utc: "Show times in UTC", site: "Show times of the site" };

/** The most devices that the palette finds. */
const FOUND_MAX = 8;

/** Devices by name or label; their list is fetched if no page has. */
async function findDevices(text: string, signal: AbortSignal): Promise<Command[]> {
  if (app.devices === null) await app.loadDevices(signal);
  return filterEntries(app.devices ?? [], text)
    .slice(0, FOUND_MAX)
    .map(({ device }) => ({ title: device, group: "Device", run: () => router.go(devicePath(device)) }));
}

/** Called once. */
export function addFrameKeys(): void {
  keys.add([
    { combo: "mod+k", title: "Find a page, a device, or something to do", run: () => ui.toggle("palette") },
    { combo: "?", title: "Show the keys", run: () => ui.toggle("keys") },
    { combo: "/", title: "Search on the page", run: search },
    ...places().flatMap(({ key, title, path }) =>
      key === undefined ? [] : [{ combo: `g ${key}`, title: `Go to ${title}`, run: () => router.go(path) }],
    ),
  ]);
  commands.add(() => [
    ...places().map(({ title, path, key }) => ({
      title,
      group: "Go to",
      ...(key === undefined ? {} : { combo: `g ${key}` }),
      run: () => router.go(path),
    })),
    { title: "Preferences", group: "Console", words: "settings theme zone sound", run: () => (ui.open = "preferences") },
    { title: "Keyboard help", group: "Console", combo: "?", run: () => (ui.open = "keys") },
    {
      title: router.kiosk ? "Leave kiosk mode" : "Kiosk mode",
      group: "Console",
      words: "wall screen",
      run: () => router.setKiosk(!router.kiosk),
    },
    ...THEMES.map((theme) => ({
      title: `Theme: ${theme}`,
      group: "Console",
      run: () => preferences.set({ theme }),
    })),
    ...ZONES.map((zone) => ({
      title: ZONE_WORDS[zone],
      group: "Console",
      words: "time zone",
      run: () => preferences.set({ zone }),
    })),
    ...(session.me === null ? [] : [{ title: "Sign out", group: "Console", run: () => void session.leave() }]),
  ]);
  commands.addFinder(findDevices);
}
