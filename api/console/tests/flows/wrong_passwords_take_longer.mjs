// Wrong passwords are told, and soon the next try has to wait: in words, on the form.
import assert from "node:assert/strict";

export const settings = { fleet: false };

export default async function ({ open, url, accessible, shoot }) {
  const { page, close } = await open();
  await page.goto(url);
  const attempt = async () => {
    await page.getByLabel("Name").fill("otto");
    await page.getByLabel("Password").fill("not the password");
    await page.getByRole("button", { name: "Sign in", exact: true }).click();
    await page.waitForFunction(() => document.querySelector("input[type=password]").value === "");
    return page.getByRole("alert").innerText();
  };
  assert.match(await attempt(), /Name or password are wrong/);
  let said = "";
  for (let tries = 0; tries < 20 && !said.includes("Too many tries"); tries += 1) said = await attempt();
  assert.match(said, /Too many tries: the next one may be in \d+ s/);
  await shoot(page, "throttled");
  await accessible(page, "too many tries");
  await close();
}
