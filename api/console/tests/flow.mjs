// Runs flows: what an operator does, in a real browser on the real service.
//
//   node tests/flow.mjs            all
//   node tests/flow.mjs NAME…      flows/NAME.mjs
//   BELLWIRE_BINARY=path           the service; else target/debug/bellwire
//   BELLWIRE_PICTURES=folder       where the guides' pictures go, which one flow takes
//   BELLWIRE_SHOTS=folder          where pictures go; none are taken without it
//   CHROMIUM=path                  of the browser; else the `chromium` in PATH
//
// A flow is a file with a default export that takes what `scene` makes. It may export `settings`,
// as `Service.start` takes them (`null`: no service), and `expected`: what the service may warn of.
import { readdirSync } from "node:fs";

import { accessible, launch, live, open, shoot } from "./harness/browser.mjs";
import { Fleet } from "./harness/fleet.mjs";
import { PASSWORD, Service } from "./harness/service.mjs";

/** How long a flow may take. */
const LIMIT_MS = 200_000;

/** What a flow is given. */
function scene(browser, service, fleet) {
  /** A page; fails at its `close()` if anything went wrong on it. */
  const openPage = (options = {}) => open(browser, options.url ?? service.url, options);
  /** Signs in on the page that is shown. */
  const signIn = async (page, name) => {
    await page.getByLabel("Name").fill(name);
    await page.getByLabel("Password").fill(PASSWORD);
    await page.getByRole("button", { name: "Sign in", exact: true }).click();
  };
  /** A page of somebody who is signed in, at `path`, live. */
  const openAs = async (name, path = "/", options = {}) => {
    const tab = await openPage(options);
    await tab.page.goto(service.url + path);
    await signIn(tab.page, name);
    await tab.page.locator("#main").waitFor();
    if (!path.includes("kiosk=1")) await live(tab.page);
    return tab;
  };
  return { browser, service, fleet, url: service?.url, open: openPage, openAs, signIn, live, accessible, shoot };
}

async function flow(name) {
  const { default: run, settings = {}, expected = [] } = await import(`./flows/${name}.mjs`);
  const began = Date.now();
  const browser = await launch();
  let service = null;
  let fleet = null;
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`the flow takes more than ${LIMIT_MS} ms`)), LIMIT_MS);
  });
  late.catch(() => undefined);
  try {
    if (settings !== null) {
      service = await Service.start(settings);
      fleet = new Fleet(service);
      if (settings.fleet !== false) await fleet.start();
    }
    await Promise.race([run(scene(browser, service, fleet)), late]);
  } finally {
    clearTimeout(timer);
    fleet?.stop();
    await browser.close();
    await service?.end(expected);
  }
  console.log(`ok ${name} (${Date.now() - began} ms)`);
}

const folder = new URL("flows/", import.meta.url);
const all = readdirSync(folder).filter((file) => file.endsWith(".mjs")).map((file) => file.replace(/\.mjs$/, ""));
const wanted = process.argv.slice(2);
let failed = 0;
for (const name of wanted.length === 0 ? all : wanted) {
  try {
    await flow(name);
  } catch (error) {
    failed += 1;
    console.error(`FAILED ${name}`);
    console.error(error);
  }
}
process.exit(failed === 0 ? 0 : 1);
