// A wrong password, a right one, a session that ends on an open page, and signing out.
import assert from "node:assert/strict";

import { PASSWORD } from "../harness/service.mjs";

export default async function ({ open, signIn, url, live, accessible, shoot, service }) {
  for (const colorScheme of ["dark", "light"]) {
    const { page, close } = await open({ colorScheme });
    await page.goto(url);
    await page.getByRole("button", { name: "Sign in", exact: true }).waitFor();
    await accessible(page, `sign in, ${colorScheme}`);
    await shoot(page, `sign-in-${colorScheme}`);
    await close();
  }
  const { page, close } = await open();
  await page.goto(`${url}/devices?q=pump`);
  await page.getByLabel("Name").fill("otto");
  await page.getByLabel("Password").fill("not the password");
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await page.getByRole("alert").waitFor();
  assert.equal(await page.getByLabel("Password").inputValue(), "");
  await signIn(page, "otto");
  await live(page);
  assert.equal(await page.getByLabel("Filter devices").inputValue(), "pump", "back where one wanted to be");

  // Another password ends the session; what is on the page stays.
  await page.evaluate(() => (window.sameDocument = true));
  await service.api("POST", "users/otto/password", { password: `${PASSWORD}, again` });
  await page.getByRole("dialog", { name: "Your session has ended" }).waitFor();
  await accessible(page, "the session has ended");
  await page.getByLabel("Password").fill(`${PASSWORD}, again`);
  await page.getByRole("dialog").getByRole("button", { name: "Sign in", exact: true }).click();
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await live(page);
  assert.equal(await page.evaluate(() => window.sameDocument), true, "nothing was lost");

  await page.getByRole("button", { name: "otto, operator" }).click();
  await page.getByRole("menuitem", { name: "Sign out" }).click();
  await page.getByRole("button", { name: "Sign in", exact: true }).waitFor();
  await page.goto(`${url}/devices`);
  await page.getByRole("button", { name: "Sign in", exact: true }).waitFor();
  await close();
}
