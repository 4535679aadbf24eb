// What flows look for on the pages of alerts and devices.

/** The row of an alert of a device in a state. */
export function alertRow(page, device, state) {
  return page.locator(`[data-alert][data-device="${device}"][data-state="${state}"]`).first();
}

/** The row of a device in a list. */
export function deviceRow(page, device) {
  return page.locator(`[data-row="${device}"]`);
}
