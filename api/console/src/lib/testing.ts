// What tests make: an alert as the API tells it.
import type { Alert } from "./words";

export function alert(id: string, more: Partial<Alert> = {}): Alert {
  return {
    id,
    rule: "freezer-too-warm",
    device: `freezer-${id}`,
    severity: "critical",
    state: "firing",
    since: 1000,
    fired_at: 1000,
    resolved_at: null,
    value: -9,
    summary: "",
    acknowledged_by: null,
    acknowledged_at: null,
    assigned_to: null,
    snoozed_until: null,
    latched: false,
    silenced: false,
    inhibited: false,
    escalation: 0,
    labels: {},
    ...more,
  };
}
