// The console in a real browser: an alert's life on an open page, a reload, a server restart,
// staleness, hostile names, accessibility and pictures of every page in both themes.
//
//   npm run build && npm run browser      against the mock
//   BELLWIRE_URL=http://127.0.0.1:8080 BELLWIRE_MQTT=127.0.0.1:1883
//   BELLWIRE_STOP='…' BELLWIRE_START='…'  against a service; the commands stop it and start it
//   BELLWIRE_TEST_DEVICE, _GOOD, _BAD     a device, a temperature that is well, one that alarms
//   BELLWIRE_SHOTS=folder                 where the pictures go; none are taken without it
//   CHROMIUM=path                         of the browser; else the `chromium` in PATH
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, join } from "node:path";

import { chromium } from "playwright-core";

import { openWorld } from "./world.mjs";

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

const executablePath =
  process.env.CHROMIUM ??
  (process.env.PATH ?? "").split(delimiter).map((folder) => join(folder, "chromium")).find(existsSync);
if (executablePath === undefined) {
  console.error("chromium is missing: make setup-test");
  process.exit(1);
}

const shots = process.env.BELLWIRE_SHOTS;
if (shots !== undefined) mkdirSync(shots, { recursive: true });

async function shoot(page, name) {
  if (shots !== undefined) await page.screenshot({ path: join(shots, `${name}.png`) });
}

/** The row of an alert of a device in a state. */
function row(page, device, state) {
  return page.locator(`[data-alert][data-device="${device}"][data-state="${state}"]`).first();
}

/** A browser page that remembers everything that went wrong on it. */
async function open(browser, world, options = {}) {
  const context = await browser.newContext({
    viewport: { width: 1280, height: 800 },
    reducedMotion: "reduce",
    ...options,
  });
  context.setDefaultTimeout(PATIENCE_MS);
  const page = await context.newPage();
  const faults = [];
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("console", (message) => {
    // The browser itself complains while the server is away; that is what we test.
    const away = /ERR_CONNECTION|WebSocket connection to|Failed to load resource/.test(message.text());
    if (["error", "warning"].includes(message.type()) && !away) faults.push(message.text());
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(world.url)) faults.push(`asked elsewhere: ${request.url()}`);
  });
  return { page, faults, close: () => context.close() };
}

async function live(page) {
  await page.locator('[data-link="Live"]').waitFor();
}

async function anAlertLives(browser, world) {
  const { page, faults, close } = await open(browser, world);
  await page.goto(world.url);
  await live(page);
  await page.evaluate(() => (window.sameDocument = true));
  const firing = row(page, world.device, "firing");
  assert.equal(await firing.count(), 0, "the freezer is well at first");

  await world.fail();
  await firing.waitFor();
  assert.equal(await page.evaluate(() => window.sameDocument), true, "without a reload");
  assert.match(await firing.innerText(), /critical/i);
  assert.match(await page.title(), /^\d+ critical/);
  assert.match(await page.locator('link[rel="icon"]').getAttribute("href"), /critical-\d+\.svg$/);
  await page.waitForFunction(
    (device) => document.querySelector('[role="log"]')?.textContent.includes(device),
    world.device,
  );
  await shoot(page, "alert-fires");

  await page.reload();
  await firing.waitFor();

  await world.stop();
  const lost = Date.now();
  await page.locator('main.stale').waitFor();
  await page.getByText("Stale.", { exact: true }).waitFor();
  const took_ms = Date.now() - lost;
  console.log(`  grey ${took_ms} ms after the server was gone`);
  assert.match(await page.title(), /^stale/);
  assert.equal(await page.locator('link[rel="icon"]').getAttribute("href"), "/favicon-stale.svg");
  assert.equal(await firing.count(), 1, "what was known stays on the page");
  await shoot(page, "stale");

  await world.start();
  await page.getByRole("button", { name: "Retry now" }).click({ timeout: 5000 }).catch(() => undefined);
  await live(page);
  await page.locator("main:not(.stale)").waitFor();
  await firing.waitFor();

  await world.heal();
  await row(page, world.device, "resolved").waitFor();
  assert.equal(await firing.count(), 0);
  await shoot(page, "alert-resolved");

  await page.reload();
  await row(page, world.device, "resolved").waitFor();
  assert.deepEqual(faults, []);
  await close();
}

async function whatHappenedMeanwhileIsTold(browser, world) {
  const { page, close } = await open(browser, world);
  await page.goto(world.url);
  await live(page);
  await world.fail();
  await row(page, world.device, "firing").waitFor();
  await page.context().setOffline(true);
  await world.stop();
  await page.locator("main.stale").waitFor();
  await world.start();
  await world.heal();
  await page.context().setOffline(false);
  await row(page, world.device, "resolved").waitFor();
  await close();
}

async function aNameIsText(browser, world) {
  const { page, faults, close } = await open(browser, world);
  await page.goto(`${world.url}/devices?q=onerror`);
  await page.getByRole("link", { name: world.nasty }).click();
  await page.getByRole("heading", { level: 1, name: world.nasty }).waitFor();
  await page.locator('[data-metric="temperature"]').waitFor();
  await shoot(page, "device-hostile-name");
  assert.equal(await page.evaluate(() => window.pwned), undefined);
  assert.equal(await page.locator("img").count(), 0);
  assert.deepEqual(faults, []);
  await close();
}

async function aDeviceSpeaks(browser, world) {
  const { page, faults, close } = await open(browser, world);
  await page.goto(world.url);
  await page.getByRole("link", { name: "Devices" }).click();
  await page.getByLabel("Filter devices").fill(world.device);
  await page.locator(`[data-row="${world.device}"]`).getByRole("link").click();
  await live(page);
  const tile = page.locator('[data-metric="temperature"]');
  await tile.click();
  await page.locator('[data-metric="temperature"][aria-pressed="true"]').waitFor();
  await page.locator(".chart canvas").waitFor();
  await page.waitForFunction(() => /now -?\d/.test(document.querySelector(".chart").ariaLabel ?? ""));
  await page.getByText("balances").waitFor();
  for (const range of ["1 h", "24 h", "15 m"]) {
    await page.getByRole("button", { name: range, exact: true }).click();
    await page.waitForFunction(
      (range) => document.querySelector(".chart").ariaLabel?.includes(`last ${range}: now`),
      range,
    );
  }
  await page.goBack();
  await page.getByLabel("Filter devices").waitFor();
  assert.deepEqual(faults, []);
  await close();
}

/** A wrong clock is told in words, a right one is not spoken of. */
async function aWrongClockIsTold(browser, world) {
  const { page, faults, close } = await open(browser, world);
  for (const [device, text] of Object.entries(world.clocks)) {
    await page.goto(`${world.url}/devices?q=${device}`);
    const line = page.locator(`[data-row="${device}"]`);
    await line.waitFor();
    assert.equal(await line.getByText(text ?? /^clock /).count(), text === null ? 0 : 1, device);
    if (text === null) continue;
    await line.getByRole("link").click();
    await page.locator(".title").getByText(text).waitFor();
  }
  assert.deepEqual(faults, []);
  await close();
}

async function everyPageIsAccessible(browser, world) {
  const pages = [
    ["alerts", "/", "[data-alert], .empty"],
    ["devices", "/devices", "[data-row]"],
    ["device", `/devices/${world.device}`, ".chart canvas"],
    ["unknown", "/nowhere", ".empty"],
  ];
  for (const colorScheme of ["dark", "light"]) {
    for (const [width, height] of [[1280, 800], [390, 780]]) {
      const { page, faults, close } = await open(browser, world, {
        colorScheme,
        viewport: { width, height },
      });
      for (const [name, path, ready] of pages) {
        await page.goto(world.url + path);
        await page.locator(ready).first().waitFor();
        await live(page);
        await shoot(page, `${name}-${colorScheme}-${width}`);
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(wide <= 0, `${name} at ${width} scrolls sideways by ${wide} px`);
        // Evaluated from outside, so the page's policy stays as strict as it is.
        await page.evaluate(AXE);
        const { violations } = await page.evaluate(() => window.axe.run());
        const told = violations.map(({ id, nodes }) => [id, nodes.map(({ html, any }) => [html, any[0]?.message])]);
        assert.deepEqual(told, [], `${name}, ${colorScheme}, ${width}`);
      }
      assert.deepEqual(faults, []);
      await close();
    }
  }
}

async function theThemeCanBeChosen(browser, world) {
  const { page, close } = await open(browser, world, { colorScheme: "dark" });
  await page.goto(world.url);
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const dark = await ground();
  const button = page.getByRole("button", { name: /^Theme/ });
  await button.click();
  assert.equal(await ground(), dark);
  await button.click();
  assert.notEqual(await ground(), dark);
  await page.reload();
  await live(page);
  assert.notEqual(await ground(), dark, "the choice survives a reload");
  await close();
}

const world = await openWorld();
const browser = await chromium.launch({ executablePath, args: FLAGS });
try {
  for (const test of [
    anAlertLives,
    whatHappenedMeanwhileIsTold,
    aNameIsText,
    aDeviceSpeaks,
    aWrongClockIsTold,
    theThemeCanBeChosen,
    everyPageIsAccessible,
  ]) {
    const began = Date.now();
    await test(browser, world);
    console.log(`ok ${test.name} (${Date.now() - began} ms)`);
  }
} finally {
  await browser.close();
  await world.end();
}
