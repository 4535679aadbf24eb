// An operator sends commands: one that the device answers, one that waits and is taken back, and one
// more time what was sent.
import assert from "node:assert/strict";

import { Connection } from "../harness/mqtt.mjs";

const DEVICE = "freezer-02";

/** A device that does what it is told, and says so. */
async function obedient({ door, gate }) {
  const connection = await Connection.open(door, "obedient", gate);
  const heard = [];
  connection.onMessage = (_, payload) => {
    heard.push(payload);
    const { id } = JSON.parse(payload);
    void connection.publish(`devices/${DEVICE}/commands/${id}/reply`, JSON.stringify({ done: true }));
  };
  await connection.subscribe(`devices/${DEVICE}/commands`);
  return { heard, close: () => connection.close() };
}

export default async function ({ openAs, service, accessible, shoot, url }) {
  const { page, close } = await openAs("otto", `/devices/${DEVICE}`);
  const commands = page.getByRole("region", { name: "Commands" });
  await commands.getByText("None yet.").waitFor();

  await commands.getByRole("button", { name: "Send a command" }).click();
  const dialog = page.getByRole("dialog", { name: "Send a command" });
  await dialog.getByLabel("Payload", { exact: true }).fill('{"setpoint": }');
  await dialog.getByText("This is no JSON").waitFor();
  await accessible(page, "a command that is no JSON");
  await dialog.getByLabel("Payload", { exact: true }).fill('{"setpoint": -20}');
  await dialog.getByLabel("Given up after").selectOption("5m");
  await dialog.getByText("More", { exact: true }).click();
  await dialog.getByLabel("Member for the command's id").fill("id");
  await shoot(page, "command-form");
  await dialog.getByRole("button", { name: "Send", exact: true }).click();
  const queued = commands.locator('[data-state="queued"]');
  await queued.getByText('"setpoint":-20').waitFor();

  const device = await obedient(service);
  const answered = commands.locator('[data-state="answered"]');
  await answered.getByText('{"done":true}').waitFor();
  assert.equal(device.heard.length, 1);
  assert.equal(JSON.parse(device.heard[0]).setpoint, -20);
  device.close();

  await answered.getByRole("button", { name: "Send again" }).click();
  const again = page.getByRole("dialog", { name: "Send it again" });
  assert.match(await again.getByLabel("Payload", { exact: true }).inputValue(), /"setpoint": -20/);
  assert.equal(await again.getByLabel("Member for the command's id").inputValue(), "id");
  await again.getByRole("button", { name: "Send", exact: true }).click();
  await queued.getByRole("button", { name: "Cancel" }).click();
  await commands.locator('[data-state="cancelled"]').waitFor();
  await accessible(page, "commands");
  await shoot(page, "commands");
  await close();

  const viewer = await openAs("vera", `/devices/${DEVICE}`);
  await viewer.page.locator('[data-state="cancelled"]').waitFor();
  assert.equal(await viewer.page.getByRole("button", { name: "Send a command" }).count(), 0, "a viewer sends none");
  await viewer.page.goto(`${url}/devices`);
  await viewer.close();
}
