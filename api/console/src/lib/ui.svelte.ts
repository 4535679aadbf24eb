// What is open above the page: the command palette, the list of keys, the preferences.
export type Panel = "palette" | "keys" | "preferences";

class Ui {
  open = $state<Panel | null>(null);

  toggle(panel: Panel): void {
    this.open = this.open === panel ? null : panel;
  }

  /** It was closed; another may be open by then. */
  closed(panel: Panel): void {
    if (this.open === panel) this.open = null;
  }
}

export const ui = new Ui();
