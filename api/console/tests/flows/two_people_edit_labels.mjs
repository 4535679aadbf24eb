// Two admins change one device's labels: the second is told what the first did, and nothing is lost.
import assert from "node:assert/strict";

import { PEOPLE } from "../harness/service.mjs";

export const settings = { people: { ...PEOPLE, alan: "admin" } };

export default async function ({ openAs, accessible, shoot, service, url }) {
  const ada = await openAs("ada", "/devices/pump-01");
  const alan = await openAs("alan", "/devices/pump-01");
  for (const { page } of [ada, alan]) {
    await page.getByRole("button", { name: "Edit labels" }).click();
    await page.getByRole("button", { name: "Add a label" }).click();
    await page.getByLabel("Name of label 1").fill("site");
  }
  await ada.page.getByLabel("Value of label site").fill("bonn");
  await ada.page.getByRole("button", { name: "Add a label" }).click();
  await ada.page.getByLabel("Name of label 2").fill("2nd");
  await ada.page.getByRole("button", { name: "Save" }).click();
  await ada.page.getByText("is no name of a label").waitFor();
  await ada.page.getByLabel("Name of label 2").fill("hall");
  await ada.page.getByLabel("Value of label hall").fill("3");
  await accessible(ada.page, "labels that are edited");
  await ada.page.getByRole("button", { name: "Save" }).click();
  await ada.page.getByRole("link", { name: "site=bonn" }).waitFor();

  await alan.page.getByLabel("Value of label site").fill("cologne");
  await alan.page.getByRole("button", { name: "Save" }).click();
  const told = alan.page.getByRole("alert").filter({ hasText: "Somebody else changed this device" });
  await told.getByText("they added “bonn”; yours is “cologne”, and would replace it").waitFor();
  await told.getByText("it is taken over").waitFor();
  await accessible(alan.page, "a conflict of labels");
  await shoot(alan.page, "labels-conflict");
  assert.equal((await service.api("GET", "devices/pump-01")).labels.site, "bonn", "nothing is saved before it is read");
  await alan.page.getByRole("button", { name: "Save anyway" }).click();
  await alan.page.getByRole("link", { name: "site=cologne" }).waitFor();
  const { labels } = await service.api("GET", "devices/pump-01");
  assert.deepEqual([labels.site, labels.hall], ["cologne", "3"]);

  await ada.page.goto(`${url}/devices/pump-01`);
  await ada.page.getByRole("button", { name: "More" }).click();
  await ada.page.getByRole("menuitem", { name: "Remove…" }).click();
  const remove = ada.page.getByRole("button", { name: "Remove", exact: true });
  assert.equal(await remove.isDisabled(), true);
  await ada.page.getByLabel("Type the device's name").fill("pump-1");
  assert.equal(await remove.isDisabled(), true, "another name does not do");
  await ada.page.getByLabel("Type the device's name").fill("pump-01");
  await accessible(ada.page, "a device that is removed");
  await shoot(ada.page, "device-remove");
  await remove.click();
  await ada.page.waitForURL(`${url}/devices`);
  assert.deepEqual((await service.api("GET", "devices/pump-01")).labels, {});
  await ada.close();
  await alan.close();
}
