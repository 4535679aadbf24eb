// A small imitation of the service's state: devices that speak once a second, one rule about
// freezers, and the log of transitions that survives a restart of the mock.

const NASTY = '<img src=x onerror="window.pwned=1">';
const RULE = {
  name: "freezer-too-warm",
  severity: "critical",
  when: "temperature > -15.0",
  for: null,
  select: "kind = 'freezer'",
};
const EXTRA_RULES = [
  { name: "battery-low", severity: "warning", when: "battery < 20", for: "1m", select: null },
  { name: "door-open", severity: "info", when: "door_open", for: "30s", select: null },
];

const iso = (ms) => new Date(ms).toISOString().replace("Z", "000Z");

/** Makes the fleet; `n_devices` of them, none at all for the empty page. */
export function makeFleet({ n_devices = 40, scenery = true } = {}) {
  const devices = new Map();
  const alerts = new Map();
  const transitions = [];
  const listeners = new Set();
  let n = 0;

  function add(device, labels) {
    devices.set(device, {
      device,
      labels,
      first_seen: Date.now() - 86_400_000,
      last_seen: Date.now() - (devices.size % 7) * 900,
      online: devices.size % 9 !== 8,
      // Some have a clock that is wrong, most no time in their payloads.
      clock_skew_ms: [-40, -7_200_000, -40, 90_000][devices.size % 12] ?? null,
      base: -21 + (devices.size % 5) * 0.7,
      failing: false,
      received: 86_000 + devices.size * 13,
    });
  }
  for (let i = 1; i <= n_devices; i += 1) {
    const id = String(i).padStart(2, "0");
    if (i % 4 === 0) add(`pump-${id}`, { kind: "pump", site: "hamburg-1" });
    else add(`freezer-${id}`, { kind: "freezer", site: i % 2 ? "berlin-2" : "berlin-1" });
  }
  if (n_devices > 0) add(NASTY, { kind: "freezer", site: "<b>bold</b>" });

  function emit(alert, from, to, at) {
    n += 1;
    const now = Date.now();
    alert.state = to;
    const frame = {
      type: "transition",
      cursor: `mock:${n}:0`,
      alert: { ...alert },
      from,
      to,
      at: iso(at),
      reason: `${RULE.when} is ${to === "firing"}`,
      times: {
        received: iso(now - 3),
        durable: iso(now - 1).replace("000Z", "412Z"),
        judged: iso(now - 1).replace("000Z", "731Z"),
        sent: iso(now),
      },
    };
    if (to === "resolved" || to === "inactive") alerts.delete(alert.id);
    else alerts.set(alert.id, alert);
    transitions.push({ n, frame });
    for (const listener of listeners) listener(frame);
  }

  function raise(device, rule, severity, state, since, value, summary) {
    const alert = {
      id: (BigInt(Date.now()) * 4096n + BigInt(n)).toString(16).padStart(16, "0"),
      rule,
      device,
      severity,
      state,
      since: iso(since),
      fired_at: state === "pending" ? null : iso(since),
      resolved_at: null,
      value,
      summary,
      acknowledged_by: null,
      latched: false,
      silenced: false,
    };
    emit(alert, "inactive", state, since);
    return alert;
  }

  function end(alert, at, value) {
    alert.resolved_at = iso(at);
    alert.value = value;
    emit(alert, "firing", "resolved", at);
  }

  function readingsOf(device, at) {
    const wave = Math.sin(at / 47_000 + device.base) * 0.8 + Math.sin(at / 3_100) * 0.15;
    const temperature = device.failing ? -4 + wave : device.base + wave;
    return [
      ["temperature", Math.round(temperature * 100) / 100],
      ["humidity", Math.round((48 + wave * 6) * 10) / 10],
      ["battery", Math.round(87 - (at % 86_400_000) / 8_640_000)],
      ["motor.speed", Math.round(1450 + wave * 40)],
      ["door_open", 0],
      ["mode", device.failing ? "defrost" : "cool"],
    ].map(([metric, value]) => ({ metric, value }));
  }

  function speak(device, at) {
    device.last_seen = at;
    device.received += 1;
    const alert = [...alerts.values()].find(
      (alert) => alert.device === device.device && alert.rule === RULE.name,
    );
    const temperature = readingsOf(device, at)[0].value;
    if (device.failing && alert === undefined) {
      const text = `${device.device} is at ${temperature} °C`;
      raise(device.device, RULE.name, "critical", "firing", at, temperature, text);
    } else if (!device.failing && alert !== undefined && alert.keep !== true) {
      end(alert, at, temperature);
    }
  }

  if (scenery && n_devices >= 12) {
    const now = Date.now();
    const m = 60_000;
    devices.get("freezer-07").failing = true;
    raise("freezer-07", RULE.name, "critical", "firing", now - 3 * m, -9.4, "freezer-07 is at -9.4 °C").keep = true;
    raise("pump-08", "battery-low", "warning", "firing", now - 47 * m, 12, "pump-08 has 12 % of its battery left; change it before the weekend");
    raise("freezer-05", "battery-low", "warning", "no_data", now - 190 * m, null, "freezer-05 has sent no battery level for three hours");
    raise("freezer-11", "door-open", "info", "firing", now - 2 * m, 1, "The door of freezer-11 stands open");
    raise(NASTY, "battery-low", "warning", "pending", now - 0.3 * m, 18.5, `${NASTY} has 18.5 % left`);
    raise("pump-12", "battery-low", "warning", "recovering", now - 400 * m, 21, "pump-12 has 21 % left").acknowledged_by = "ada";
    const over = raise("freezer-02", RULE.name, "critical", "firing", now - 31 * m, -14.2, "freezer-02 is at -14.2 °C");
    end(over, now - 6 * m, -16.1);
  }

  return {
    devices,
    alerts,
    transitions,
    listeners,
    rules: n_devices === 0 ? [] : [RULE, ...EXTRA_RULES],
    nasty: NASTY,
    health: { status: "ok", checks: [{ name: "database", status: "ok", detail: "" }] },
    degrade() {
      const detail = "does not answer; readings are kept on disk and alerts go on";
      this.health = { status: "degraded", checks: [{ name: "database", status: "degraded", detail }] };
    },
    iso,
    readingsOf,
    cursor: () => `mock:${n}:0`,
    position: () => n,
    fail(device, failing) {
      const it = devices.get(device);
      it.failing = failing;
      speak(it, Date.now());
    },
    speakAll(at) {
      for (const device of devices.values()) if (device.online) speak(device, at);
    },
  };
}
