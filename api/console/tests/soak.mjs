// The console beside a large fleet: 10,000 devices that send 10,000 readings a second, and a browser on
// the list of devices, which somebody scrolls now and then.
//
//   npm run soak [-- --minutes N] [--devices N] [--rate N]      10 minutes, 10,000 and 10,000 if absent
//   BELLWIRE_BINARY=path     the service; a release build, or it is what is measured
//   CHROMIUM=path            of the browser; else the `chromium` in PATH
//
// The pages are those that the binary has. Each ten seconds a line: frames a second, the slowest twentieth
// of them, the longest frame, and what the page's scripts hold after a collection of garbage. It ends with 1
// if the median is below 50 frames a second, or it holds 100 MB.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { launch, live, open } from "./harness/browser.mjs";
import { BINARY, Service } from "./harness/service.mjs";

const FPS_MIN = 50;
const HEAP_BYTES_MAX = 100e6;
const WINDOW_MS = 10_000;

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "10" },
    devices: { type: "string", default: "10000" },
    rate: { type: "string", default: "10000" },
  },
});
const minutes = Number(values.minutes);

function percentile(numbers, part) {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}

/** Measures the frames of one window, in which the list is scrolled for a moment. */
async function frames(page) {
  await page.evaluate(() => {
    window.frames_ms = [];
    let before = performance.now();
    const turn = (now) => {
      window.frames_ms?.push(now - before);
      before = now;
      if (window.frames_ms !== undefined) requestAnimationFrame(turn);
    };
    requestAnimationFrame(turn);
  });
  const end = Date.now() + WINDOW_MS;
  for (let i = 0; i < 20; i += 1) await page.mouse.wheel(0, 400);
  await new Promise((resolve) => setTimeout(resolve, end - Date.now()));
  return page.evaluate(() => {
    const measured = window.frames_ms.slice(1);
    window.frames_ms = undefined;
    return measured;
  });
}

async function heap(session) {
  await session.send("HeapProfiler.collectGarbage");
  const { metrics } = await session.send("Performance.getMetrics");
  return metrics.find(({ name }) => name === "JSHeapUsedSize").value;
}

async function soak(browser, service) {
  const { page, close } = await open(browser, service.url);
  await page.goto(`${service.url}/devices`);
  await live(page);
  await page.locator("[data-row]").first().waitFor();
  await page.locator("[data-row]").first().hover();
  const session = await page.context().newCDPSession(page);
  await session.send("Performance.enable");
  const told = [];
  const all = [];
  console.log("    s    fps   p5 fps   longest ms   heap MB   devices");
  const began = Date.now();
  while (Date.now() - began < minutes * 60_000) {
    const measured = await frames(page);
    const bytes = await heap(session);
    const row = {
      fps: (1000 * measured.length) / measured.reduce((sum, ms) => sum + ms, 0),
      p5: 1000 / percentile(measured, 0.95),
      longest: Math.max(...measured),
      bytes,
    };
    told.push(row);
    for (const ms of measured) all.push(ms);
    const n = await page.locator(".bar p").textContent();
    const cells = [(Date.now() - began) / 1000, row.fps, row.p5, row.longest, bytes / 1e6];
    console.log(cells.map((cell, i) => cell.toFixed(i === 0 ? 0 : 1).padStart([5, 7, 9, 13, 10][i])).join("") + `   ${n.trim()}`);
  }
  await close();
  const median = percentile(told.map(({ fps }) => fps), 0.5);
  const most = Math.max(...told.map(({ bytes }) => bytes));
  console.log(
    `median ${median.toFixed(1)} fps, p5 ${(1000 / percentile(all, 0.95)).toFixed(1)} fps, longest frame ${Math.max(...all.slice(1)).toFixed(0)} ms, most heap ${(most / 1e6).toFixed(1)} MB`,
  );
  return median >= FPS_MIN && most < HEAP_BYTES_MAX;
}

const service = await Service.start({ open: true });
const browser = await launch();
const { host, port } = service.door;
const speaking = spawn(
  BINARY,
  ["fleet", "run", "--mqtt", `${host}:${port}`, "--devices", values.devices, "--rate", values.rate, "--seconds", String(minutes * 60 + 60)],
  { stdio: ["ignore", "ignore", "inherit"], cwd: fileURLToPath(new URL(".", import.meta.url)) },
);
const spoken = once(speaking, "exit");
let isGood = false;
try {
  // Until all have spoken.
  for (let n = 0; n < Number(values.devices); ) {
    await new Promise((resolve) => setTimeout(resolve, 500));
    if (speaking.exitCode !== null) throw new Error("the fleet has ended");
    const { devices, next } = await service.api("GET", "devices?limit=10000");
    n = devices.length + (next === null ? 0 : 1);
  }
  isGood = await soak(browser, service);
} finally {
  speaking.kill();
  await spoken;
  await browser.close();
  await service.end(["WARN"]);
}
process.exit(isGood ? 0 : 1);
