// The browser, and what every flow does with a page of it.
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, join } from "node:path";

import { chromium } from "playwright-core";

/** No wait for a state is longer. */
const PATIENCE_MS = 30_000;
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
/** The browser itself complains while the server is away, and of each answer that is a problem. */
const OF_THE_BROWSER = /ERR_CONNECTION|ERR_INTERNET|WebSocket connection to|Failed to load resource/;

export const WIDE = { width: 1280, height: 800 };
export const PHONE = { width: 390, height: 780 };

/** Where it is between two and three at night: then what happened six hours ago is told with its date, at whatever time
 *  the flows run. */
function nightZone() {
  const ahead = (2 - new Date().getUTCHours() + 24) % 24;
  return ahead <= 12 ? `Etc/GMT-${ahead}` : `Etc/GMT+${24 - ahead}`;
}

/** Starts it; `flags` come beside the usual ones. */
export async function launch(flags = []) {
  const inPath = (process.env.PATH ?? "").split(delimiter).map((folder) => join(folder, "chromium"));
  const executablePath = process.env.CHROMIUM ?? inPath.find(existsSync);
  if (executablePath === undefined) throw new Error("chromium is missing: make setup-test");
  return chromium.launch({ executablePath, args: [...FLAGS, ...flags] });
}

/** A page that remembers everything that goes wrong on it. `options` are those of a browser context. */
export async function open(browser, url, options = {}) {
  const context = await browser.newContext({ viewport: WIDE, reducedMotion: "reduce", timezoneId: nightZone(), ...options });
  context.setDefaultTimeout(PATIENCE_MS);
  const page = await context.newPage();
  const faults = [];
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("console", (message) => {
    const isFault = ["error", "warning"].includes(message.type()) && !OF_THE_BROWSER.test(message.text());
    if (isFault) faults.push(message.text());
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(url)) faults.push(`asked elsewhere: ${request.url()}`);
  });
  return {
    page,
    faults,
    /** Closes it; fails if anything went wrong on it. */
    close: async () => {
      await context.close();
      assert.deepEqual(faults, []);
    },
  };
}

/** Waits until what the page shows is live. */
export async function live(page) {
  await page.locator('[data-link="Live"]').waitFor();
}

/** Fails if the page has a fault that axe finds, scrolls sideways, or cuts choices off. */
export async function accessible(page, what) {
  // The page itself, and what scrolls in it.
  const wide = await page.evaluate(() =>
    Math.max(...[document.documentElement, document.querySelector("main")].map((it) => (it === null ? 0 : it.scrollWidth - it.clientWidth))),
  );
  assert.ok(wide <= 0, `${what} scrolls sideways by ${wide} px`);
  const cut = await page.locator(".segments").evaluateAll((all) => all.filter((it) => it.scrollWidth > it.clientWidth + 1).map((it) => it.ariaLabel));
  assert.deepEqual(cut, [], `${what} cuts choices off`);
  // Evaluated from outside, so the page's policy stays as strict as it is.
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() =>
    // Targets of at least 24 px are of WCAG 2.2, and axe asks for them only if told to.
    window.axe.run({ rules: { "target-size": { enabled: true } } }),
  );
  const told = violations.map(({ id, nodes }) => [id, nodes.map(({ html, any }) => [html, any[0]?.message])]);
  assert.deepEqual(told, [], what);
}

/** Takes a picture into the folder that `BELLWIRE_SHOTS` names; without it, none. */
export async function shoot(page, name) {
  const folder = process.env.BELLWIRE_SHOTS;
  if (folder === undefined) return;
  mkdirSync(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`) });
}

/** Writes a picture of the guides into the folder that `BELLWIRE_PICTURES` names; without it, none. */
export async function picture(page, name) {
  const folder = process.env.BELLWIRE_PICTURES;
  if (folder === undefined) return;
  // No mark of the mouse, no caret.
  await page.mouse.move(0, 0);
  await page.evaluate(() => document.activeElement?.blur());
  const session = await page.context().newCDPSession(page);
  const { data } = await session.send("Page.captureScreenshot", { format: "webp", quality: 82 });
  await session.detach();
  writeFileSync(join(folder, `console-${name}.webp`), Buffer.from(data, "base64"));
}
