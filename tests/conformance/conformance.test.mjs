// WebSocket transparency: a server gets the same verdict in every core Autobahn case, direct and through the gateway.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { ARTEFACTS, freePorts, Gateway, ROOT, USERS } from "../support/gateway.mjs";
import { openWorkspace, signIn } from "../support/http.mjs";
import { eventually } from "../support/waiting.mjs";
import { openDoor } from "./door.mjs";

const PYTHON = process.env.USHER_CONFORMANCE_PYTHON ?? join(ROOT, ".cache/conformance-venv/bin/python");
const HERE = import.meta.dirname;
/** For one run of all cases; milliseconds. */
const RUN = 300_000;

let direct;
let gateway;
let door;

before(async () => {
  const [port] = await freePorts(1);
  const process_ = spawn(process.execPath, [join(HERE, "echo.mjs"), String(port)], { stdio: "inherit" });
  direct = { port, stop: () => process_.kill() };
  await eventually("the echo server answers", async () => (await fetch(`http://127.0.0.1:${port}/`)).ok);

  const echo = { runtime: "process", process: { command: [process.execPath, join(HERE, "echo.mjs"), "{port}"] } };
  gateway = await Gateway.start("conformance", { echo });
  const cookie = await signIn(gateway, USERS.ada);
  await openWorkspace(gateway, cookie, "/echo/");
  door = await openDoor(gateway, "/echo/", cookie);
});

after(async () => {
  door?.shut();
  await gateway?.stop();
  direct?.stop();
});

async function verdicts(port) {
  const { stdout } = await promisify(execFile)(PYTHON, [join(HERE, "cases.py"), String(port)], {
    timeout: RUN,
    maxBuffer: 64 << 20,
  });
  return JSON.parse(stdout);
}

test("every core case has the same verdict direct and through the gateway", { timeout: 2 * RUN }, async () => {
  const without = await verdicts(direct.port);
  const through = await verdicts(door.port);
  mkdirSync(ARTEFACTS, { recursive: true });
  writeFileSync(join(ARTEFACTS, "conformance.json"), JSON.stringify({ direct: without, through }, null, 2));

  const cases = Object.keys(without);
  assert.ok(cases.length > 200, `only ${cases.length} cases were run`);
  assert.deepEqual(through, without);
  const passed = cases.filter((id) => through[id].passed).length;
  console.log(`${cases.length} cases with the same verdict, ${passed} of them passed by the server`);
});
