// Everything but the list of alerts: one file, fetched when somebody first goes beyond that list.
export { default as AlertPage } from "./pages/AlertPage.svelte";
export { default as AuditLogPage } from "./pages/AuditLogPage.svelte";
export { default as ChannelsPage } from "./pages/ChannelsPage.svelte";
export { default as DevicePage } from "./pages/DevicePage.svelte";
export { default as DevicesPage } from "./pages/DevicesPage.svelte";
export { default as HealthPage } from "./pages/HealthPage.svelte";
export { default as NewRulePage } from "./pages/NewRulePage.svelte";
export { default as PeoplePage } from "./pages/PeoplePage.svelte";
export { default as QuarantinePage } from "./pages/QuarantinePage.svelte";
export { default as RulePage } from "./pages/RulePage.svelte";
export { default as RulesPage } from "./pages/RulesPage.svelte";
export { default as SettingsPage } from "./pages/SettingsPage.svelte";
export { default as SignInPage } from "./pages/SignInPage.svelte";
export { default as SilencePage } from "./pages/SilencePage.svelte";
export { default as SilencesPage } from "./pages/SilencesPage.svelte";
// What stands above any page.
export { default as ActDialog } from "./parts/alerts/ActDialog.svelte";
export { default as SilenceDialog } from "./parts/alerts/SilenceDialog.svelte";
export { default as KeyHelp } from "./parts/KeyHelp.svelte";
export { default as Preferences } from "./parts/Preferences.svelte";
export { default as SessionEnded } from "./parts/SessionEnded.svelte";
