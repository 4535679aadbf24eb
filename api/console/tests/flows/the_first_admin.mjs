// Nobody can sign in yet: who has the set-up code makes the first admin, and is signed in.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { PASSWORD } from "../harness/service.mjs";

export const settings = { people: {}, fleet: false };
export const expected = ["wrong set-up code"];

export default async function ({ open, service, url, live, accessible, shoot }) {
  for (const colorScheme of ["dark", "light"]) {
    const { page, close } = await open({ colorScheme });
    await page.goto(`${url}/devices`);
    await page.getByLabel("Set-up code").waitFor();
    await accessible(page, `first run, ${colorScheme}`);
    await shoot(page, `first-run-${colorScheme}`);
    await close();
  }
  const { page, close } = await open();
  await page.goto(`${url}/devices`);
  const fill = async (code, again) => {
    await page.getByLabel("Set-up code").fill(code);
    await page.getByLabel("Name").fill("root");
    await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
    await page.getByLabel("Password, once more").fill(again);
    await page.getByRole("button", { name: "Make the first admin" }).click();
  };
  await fill("0000", "something else");
  await page.getByText("The two passwords differ.").waitFor();
  await fill("0000", PASSWORD);
  await page.getByRole("alert").getByText(/code/).waitFor();
  await fill(readFileSync(join(service.dataDir, "setup-code"), "utf8"), PASSWORD);
  await page.getByRole("heading", { name: "Devices" }).waitFor();
  await live(page);
  assert.equal(new URL(page.url()).pathname, "/devices", "the page that was asked for");
  await page.getByRole("button", { name: "root, admin" }).waitFor();
  await close();
}
