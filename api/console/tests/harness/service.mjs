// The real service in a data directory of its own, with people and a gateway for the fleet.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { LABELS } from "./fleet.mjs";
import { until } from "./wait.mjs";

const run = promisify(execFile);
export const BINARY =
  process.env.BELLWIRE_BINARY ?? fileURLToPath(new URL("../../../../target/debug/bellwire", import.meta.url));

export const PASSWORD = "correct horse battery staple";
/** Who may sign in, with `PASSWORD`. */
export const PEOPLE = { ada: "admin", otto: "operator", vera: "viewer" };

export const RULES = `
[[rule]]
name = "freezer-too-warm"
when = "temperature > limit"
clear = "temperature < limit - 2"
severity = "critical"
params = { limit = -15.0 }
summary = "{device} is at {value} °C"
${LABELS}`;

/** The environment without what somebody has set for another service. */
function environment(more) {
  const clean = Object.entries(process.env).filter(([name]) => !name.startsWith("BELLWIRE_"));
  return { ...Object.fromEntries(clean), ...more };
}

export class Service {
  #dir = mkdtempSync(join(tmpdir(), "bellwire-flow-"));
  #env;
  #open;
  #child = null;
  #endpoints = null;
  /** Credentials of the gateway that may speak for every device; null where nobody is asked. */
  gate = null;

  /**
   * `rules`: the rules file. `people`: who there is, by name; none: nobody yet. `open`: `--insecure`.
   * `env`: more of the environment.
   */
  static async start({ rules = RULES, people = PEOPLE, open = false, env = {} } = {}) {
    const service = new Service();
    // PostgreSQL may run as another user.
    chmodSync(service.#dir, 0o755);
    writeFileSync(join(service.#dir, "rules.toml"), rules);
    service.#open = open;
    service.#env = {
      BELLWIRE_DATA_DIR: service.dataDir,
      BELLWIRE_RULES: service.rulesFile,
      BELLWIRE_DATABASE_COMPACT_INTERVAL_MS: "300",
      ...env,
    };
    try {
      if (!open) {
        await service.#addPeople(people);
        const password = await service.cli("device", "add", "gate", "--gateway-for", "*");
        service.gate = { user: "gate", password };
      }
      await service.launch();
    } catch (error) {
      await service.end().catch(() => undefined);
      throw error;
    }
    return service;
  }

  get dataDir() {
    return join(this.#dir, "data");
  }

  get rulesFile() {
    return join(this.#dir, "rules.toml");
  }

  get url() {
    return `http://${this.#address("http")}`;
  }

  /** Where MQTT listens. */
  get door() {
    const [host, port] = this.#address("mqtt").split(":");
    return { host, port: Number(port) };
  }

  get log() {
    return existsSync(this.#logFile) ? readFileSync(this.#logFile, "utf8") : "";
  }

  get #logFile() {
    return join(this.#dir, "stderr.log");
  }

  /** Runs the program beside the service; what it prints. */
  async cli(...args) {
    const env = environment({ ...this.#env, ...this.#listen() });
    return (await run(BINARY, args, { env })).stdout.trim();
  }

  /** Starts it, again where it was, and waits until it is ready. */
  async launch() {
    const file = join(this.dataDir, "endpoints.json");
    rmSync(file, { force: true });
    const log = openSync(this.#logFile, "a");
    const env = environment({ ...this.#env, ...this.#listen() });
    const child = spawn(BINARY, this.#open ? ["serve", "--insecure"] : ["serve"], {
      env,
      stdio: ["ignore", "ignore", log],
    });
    this.#child = child;
    const ended = once(child, "exit");
    ended.catch(() => undefined);
    await until("the service is ready", () => {
      assert.equal(child.exitCode, null, `the service ended:\n${this.log}`);
      if (!existsSync(file)) return false;
      try {
        this.#endpoints = JSON.parse(readFileSync(file, "utf8"));
        return true;
      } catch {
        return false;
      }
    });
  }

  /** Asks it to stop, and waits until it has. */
  async stop() {
    const child = this.#child;
    if (child === null || child.exitCode !== null) return;
    const ended = once(child, "exit");
    child.kill("SIGTERM");
    const [code] = await ended;
    assert.equal(code, 0, `the service ended with ${code}:\n${this.log}`);
  }

  /** Stops it and removes all that it had; fails if it warned of anything that is not expected. */
  async end(expected = []) {
    try {
      await this.stop();
      const bad = this.log
        .split("\n")
        .filter((line) => /WARN|ERROR|panicked/.test(line) && !expected.some((text) => line.includes(text)));
      assert.deepEqual(bad, [], "the service warned");
    } finally {
      if (this.#child?.exitCode === null) this.#child.kill("SIGKILL");
      rmSync(this.#dir, { recursive: true, force: true });
    }
  }

  /** Asks the API as one who may do everything; fails if that does. */
  async api(method, path, body, headers = {}) {
    const token = this.#open ? {} : { authorization: `Bearer ${this.#token()}` };
    const response = await fetch(`${this.url}/api/v1/${path}`, {
      method,
      headers: { ...token, ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await response.text();
    assert.ok(response.ok, `${method} ${path}: ${response.status} ${text}`);
    return text === "" ? null : JSON.parse(text);
  }

  #token() {
    return readFileSync(join(this.dataDir, "local-token"), "utf8").trim();
  }

  #address(what) {
    return [this.#endpoints[what]].flat()[0];
  }

  /** Any port at first, the same one later. */
  #listen() {
    const at = (what) => (this.#endpoints === null ? "127.0.0.1:0" : this.#address(what));
    return { BELLWIRE_MQTT_LISTEN: at("mqtt"), BELLWIRE_HTTP_LISTEN: at("http") };
  }

  async #addPeople(people) {
    const file = join(this.#dir, "password");
    writeFileSync(file, PASSWORD);
    for (const [name, role] of Object.entries(people)) {
      await this.cli("people", "add", name, "--role", role, "--password-file", file);
    }
  }
}
