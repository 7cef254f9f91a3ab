// When a workspace stops by itself: an open tab is not a person.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch } from "./lib/browser.mjs";
import { Gateway, theiaKind, USERS } from "../support/gateway.mjs";
import { Portal } from "./lib/portal.mjs";
import { Theia } from "./lib/theia.mjs";
import { always } from "../support/waiting.mjs";

/** Long enough that opening the IDE and its terminal fits in several times; milliseconds. */
const HUMAN_IDLE = 20_000;
/** What the gateway may take beyond that to notice and to stop the process. */
const SLACK = 25_000;

let gateway;
let browser;
let page;
let theia;
/** A second page of the same browser: home, which is no use of the workspace. */
let portal;

before(async () => {
  const autostop = { human_idle: `${HUMAN_IDLE / 1000}s`, idle_after: "5s", warning: "5s" };
  gateway = await Gateway.start("autostop", { ide: theiaKind({ autostop }) });
  browser = await launch(gateway);
  const context = await browser.newContext({ locale: "en-US" });
  page = await context.newPage();
  portal = new Portal(await context.newPage(), gateway);
  await portal.signIn(USERS.ada);
  theia = new Theia(page);
});

after(async () => {
  await browser?.close();
  await gateway?.stop();
});

async function openTerminal() {
  await page.goto(`${gateway.url}/ide/`);
  await theia.ready();
  await theia.newTerminal();
  await theia.typeInTerminal("true");
}

test("one key typed in time keeps the workspace", async () => {
  await openTerminal();
  for (let time = 0; time < 3; time += 1) {
    await always("the workspace runs", async () => ["running", "idle"].includes(await portal.phase("ide")), {
      during: HUMAN_IDLE * 0.6,
      every: 2000,
    });
    await theia.pressInTerminal("x");
  }
});

test("an untouched tab left open past human_idle lets the workspace stop", async () => {
  const touched = Date.now();
  await portal.phaseBecomes("ide", ["stopped"], HUMAN_IDLE + SLACK);
  const after = Date.now() - touched;
  assert.ok(after > HUMAN_IDLE * 0.9, `stopped after ${after} ms, before it was due`);
});

test("the tab that is still open does not start it again", async () => {
  await theia.disconnected();
  await always("the workspace stays stopped", async () => (await portal.phase("ide")) === "stopped", {
    during: 15_000,
    every: 2000,
  });
});

test("the card says why it stopped", async () => {
  await portal.home();
  assert.match(await portal.card("ide").innerText(), /because nobody had worked in it/);
});
