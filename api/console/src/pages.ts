// Every page of the console. A page is added by one line here, its file in `pages/` and its name in
// `rest.ts`. Navigation, command palette, `g` keys and the accessibility test all come from this table.
import type { Component } from "svelte";

import type { Role } from "./lib/session";

export interface Page {
  name: string;
  /** `{id}` is a part that the page gets as a property of that name. */
  path: string;
  title: string;
  /** Not in the navigation, but below this page in it. */
  under?: string;
  /** In the menu of whoever is signed in, not in the navigation. */
  menu?: boolean;
  /** `g` and this letter go there. */
  key?: string;
  /** Who sees it: this role, and those that may do more. Default: everybody. */
  role?: Role;
  load: () => Promise<Component<any>>;
}

const rest = () => import("./rest");

export const PAGES: readonly Page[] = [
  // Alerts
  { name: "alerts", path: "/", title: "Alerts", key: "a", load: async () => (await import("./pages/AlertsPage.svelte")).default },
  { name: "alert", path: "/alerts/{id}", title: "Alert", under: "alerts", load: async () => (await rest()).AlertPage },

  // Devices
  { name: "devices", path: "/devices", title: "Devices", key: "d", load: async () => (await rest()).DevicesPage },
  { name: "device", path: "/devices/{device}", title: "Device", under: "devices", load: async () => (await rest()).DevicePage },

  // Rules
  { name: "rules", path: "/rules", title: "Rules", key: "r", load: async () => (await rest()).RulesPage },
  { name: "new-rule", path: "/rules/new", title: "New rule", under: "rules", role: "admin", load: async () => (await rest()).NewRulePage },
  { name: "rule", path: "/rules/{name}", title: "Rule", under: "rules", load: async () => (await rest()).RulePage },

  // Silences and channels
  { name: "silences", path: "/silences", title: "Silences", key: "m", load: async () => (await rest()).SilencesPage },
  { name: "new-silence", path: "/silences/new", title: "New silence", under: "silences", role: "operator", load: async () => (await rest()).SilencePage },
  { name: "silence", path: "/silences/{id}", title: "Silence", under: "silences", load: async () => (await rest()).SilencePage },
  { name: "channels", path: "/channels", title: "Channels", key: "c", load: async () => (await rest()).ChannelsPage },

  // Quarantine and health
  { name: "quarantine", path: "/quarantine", title: "Quarantine", key: "q", load: async () => (await rest()).QuarantinePage },
  { name: "health", path: "/health", title: "Health", key: "h", load: async () => (await rest()).HealthPage },

  // People and settings
  { name: "people", path: "/people", title: "People", key: "p", role: "admin", load: async () => (await rest()).PeoplePage },
  { name: "audit-log", path: "/audit-log", title: "Audit log", key: "l", role: "admin", under: "people", load: async () => (await rest()).AuditLogPage },
  { name: "settings", path: "/settings", title: "Settings", key: "s", menu: true, load: async () => (await rest()).SettingsPage },
];
