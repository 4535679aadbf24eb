// Two operators at one alert at once: one of them has it, and both screens say who.
import assert from "node:assert/strict";

import { alertRow } from "../harness/rows.mjs";

const DEVICE = "freezer-03";

export const settings = { people: { ada: "admin", otto: "operator", olga: "operator", vera: "viewer" } };

export default async function ({ openAs, fleet, shoot }) {
  const [otto, olga] = [await openAs("otto"), await openAs("olga")];
  for (const { page, other } of [{ page: otto.page, other: "olga" }, { page: olga.page, other: "otto" }]) {
    await page.getByRole("list", { name: "Who else is here" }).getByText(other).waitFor();
  }
  fleet.warm(DEVICE);
  const pages = [otto.page, olga.page];
  for (const page of pages) {
    await alertRow(page, DEVICE, "firing").waitFor();
    await page.keyboard.press("j");
  }
  await Promise.all(pages.map((page) => page.keyboard.press("a")));
  const owners = [];
  for (const page of pages) {
    const flag = alertRow(page, DEVICE, "firing").getByTitle("Acknowledged");
    await flag.waitFor();
    owners.push((await flag.innerText()).split(/\s+/).at(-1));
  }
  assert.equal(owners[0], owners[1], "one truth");
  const [first, second] = owners[0] === "otto" ? [otto, olga] : [olga, otto];
  await first.page.getByText("1 alert acknowledged").waitFor();
  await second.page.getByText(new RegExp(`acknowledged already, by ${owners[0]}`)).waitFor();
  await second.page.getByText(/acknowledged freezer-03/).first().waitFor();
  await shoot(second.page, "another-was-first");

  // What one does shows on the other's page of the alert at once.
  await second.page.keyboard.press("o");
  const timeline = second.page.getByRole("list", { name: "Timeline" });
  await timeline.getByText(owners[0]).first().waitFor();
  await first.page.keyboard.press("c");
  await first.page.getByRole("dialog").getByLabel("Comment").fill("On my way");
  await first.page.getByRole("dialog").getByRole("button", { name: "Comment", exact: true }).click();
  await timeline.getByText("On my way").waitFor();
  await first.close();
  await second.page.getByRole("list", { name: "Who else is here" }).waitFor({ state: "detached" });
  await second.close();
}
