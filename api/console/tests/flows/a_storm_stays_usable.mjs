// A thousand alerts in one second: rows scroll, keys act, all are chosen and acknowledged at once.
import assert from "node:assert/strict";

import { Connection } from "../harness/mqtt.mjs";
import { until } from "../harness/wait.mjs";

const N = 1_000;

export const settings = { fleet: false };

/** How many frames until `done` holds on the page after a key, and how long that was. */
function framesAfter(page, key, done) {
  return page.evaluate(
    ([key, done]) =>
      new Promise((resolve) => {
        const holds = new Function(`return ${done}`);
        const began = performance.now();
        let frames = 0;
        document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
        const look = () => {
          frames += 1;
          if (holds() || frames > 600) resolve({ frames, ms: Math.round(performance.now() - began) });
          else requestAnimationFrame(look);
        };
        requestAnimationFrame(look);
      }),
    [key, done],
  );
}

export default async function ({ openAs, service, shoot, accessible }) {
  const { page, close } = await openAs("otto");
  const asked = [];
  page.on("request", (request) => asked.push(new URL(request.url()).pathname));
  const gate = await Connection.open(service.door, "storm", service.gate);
  const say = (value) =>
    Promise.all(Array.from({ length: N }, (_, i) => gate.publish(`devices/freezer-${i}/telemetry`, JSON.stringify({ temperature: value }))));
  await say(-20);
  // Every frame and every long pause from here on.
  await page.evaluate(() => {
    window.frames_ms = [];
    let before = performance.now();
    const frame = (now) => {
      window.frames_ms.push(now - before);
      before = now;
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  });
  const began = Date.now();
  await say(-5);
  const said = Date.now() - began;
  await until("all alerts are counted", async () => (await page.title()).startsWith(`${N} critical`));
  const shown = Date.now() - began;
  const frames = await page.evaluate(() => window.frames_ms.sort((a, b) => a - b));
  const rows = await page.locator("[data-alert]").count();
  console.log(`  ${N} publishes acknowledged in ${said} ms, all alerts on the page after ${shown} ms`);
  console.log(`  frames meanwhile: ${frames.length}, median ${frames[frames.length >> 1].toFixed(0)} ms, worst ${frames.at(-1).toFixed(0)} ms; ${rows} rows exist`);
  assert.ok(rows < 100, "only the rows in view exist");
  await shoot(page, "storm");

  const next = await framesAfter(page, "j", 'document.querySelector(".cells.here") !== null');
  const choice = await framesAfter(page, "*", `document.body.textContent.includes("${N.toLocaleString("en")} chosen")`);
  console.log(`  j acts after ${next.frames} frames (${next.ms} ms), * after ${choice.frames} (${choice.ms} ms)`);
  assert.ok(next.frames < 60 && choice.frames < 60, "keys act at once");

  const scrolled = await page.evaluate(async () => {
    const scroller = document.querySelector('[role="region"][aria-label="Alerts"]');
    const times = [];
    let before = performance.now();
    for (let at = 0; at < scroller.scrollHeight; at += 400) {
      scroller.scrollTop = at;
      await new Promise((resolve) => requestAnimationFrame(resolve));
      times.push(performance.now() - before);
      before = performance.now();
    }
    const last = [...document.querySelectorAll("[data-alert]")].length;
    return { median: times.sort((a, b) => a - b)[times.length >> 1], worst: times.at(-1), last };
  });
  console.log(`  scrolling: median frame ${scrolled.median.toFixed(0)} ms, worst ${scrolled.worst.toFixed(0)} ms`);
  assert.ok(scrolled.last > 0, "there are rows at the end");

  const ack = Date.now();
  await page.keyboard.press("a");
  await page.getByText(`${N.toLocaleString("en")} alerts acknowledged`).waitFor();
  await page.locator("[data-alert]").first().getByTitle("Acknowledged").waitFor();
  console.log(`  all acknowledged ${Date.now() - ack} ms after the key`);
  await page.getByLabel("Groups").selectOption("rule");
  await page.getByText("1,000 in all").waitFor();
  await accessible(page, "a storm");
  assert.deepEqual(asked.filter((path) => /\/alerts\/[0-9a-f]{16}$/.test(path)), [], "no row costs a question of its own");
  gate.close();
  await close();
}
