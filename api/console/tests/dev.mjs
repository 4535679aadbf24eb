// Whoever builds a page: the real service with people and a fleet, and the console built anew on
// each change (a debug binary reads `dist/` from the disk). Ends with Ctrl-C.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

import { Fleet } from "./harness/fleet.mjs";
import { PASSWORD, PEOPLE, Service } from "./harness/service.mjs";

const service = await Service.start();
const fleet = new Fleet(service);
await fleet.start();
const cwd = fileURLToPath(new URL("..", import.meta.url));
const building = spawn("npx", ["vite", "build", "--watch", "--logLevel", "warn"], { cwd, stdio: "inherit" });
// freezer-03 is warm every other minute, so that there are alerts, and alerts that ended.
let isWarm = false;
const timer = setInterval(() => {
  isWarm = !isWarm;
  if (isWarm) fleet.warm("freezer-03");
  else fleet.cool("freezer-03");
}, 60_000);
fleet.warm("freezer-01");
console.log(`${service.url}  ${Object.keys(PEOPLE).join(", ")}  password: ${PASSWORD}`);
await Promise.race([once(process, "SIGINT"), once(process, "SIGTERM")]);
clearInterval(timer);
building.kill();
fleet.stop();
await service.end(["WARN"]);
