// A developer's day with Eclipse Theia behind the gateway.

import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { launch } from "./lib/browser.mjs";
import { Gateway, theiaKind, USERS } from "../support/gateway.mjs";
import { Portal, startPage } from "./lib/portal.mjs";
import { Theia } from "./lib/theia.mjs";
import { eventually } from "../support/waiting.mjs";

let gateway;
let browser;
/** Ada's browser, her open IDE, and the folder that her workspace calls home. */
let ada;

before(async () => {
  gateway = await Gateway.start("ide", { ide: theiaKind() });
  browser = await launch(gateway);
});

after(async () => {
  await browser?.close();
  if (gateway) assert.equal(await gateway.stop(), 0, "the gateway leaves in order");
});

/** Signs a user in, in a browser context of their own, and opens their IDE. */
async function arrive(user) {
  const context = await browser.newContext();
  const page = await context.newPage();
  const portal = new Portal(page, gateway);
  await portal.signIn(user);
  assert.equal(await portal.card("ide").getAttribute("data-phase"), "stopped");

  const homesBefore = homes();
  await page.goto(`${gateway.url}/ide/`);
  await startPage(page).waitFor();
  const theia = new Theia(page);
  await theia.ready();
  assert.equal(new URL(page.url()).pathname, "/ide/");

  const [home] = homes().filter((name) => !homesBefore.includes(name));
  assert.ok(home, "the workspace has a home of its own");
  return { context, page, theia, home: join(gateway.homes, home) };
}

function homes() {
  return existsSync(gateway.homes) ? readdirSync(gateway.homes) : [];
}

test("a developer signs in, sees the start page, and lands in the IDE", async () => {
  ada = await arrive(USERS.ada);
});

test("a file is opened, edited and saved", async () => {
  writeFileSync(join(ada.home, "notes.txt"), "written on disk\n");
  await eventually("the explorer shows the file", async () => (await ada.theia.files()).includes("notes.txt"));
  await ada.theia.open("notes.txt");
  await eventually("the editor shows it", async () => (await ada.theia.editorText()).includes("written on disk"));
  await ada.theia.appendAndSave("typed in the browser");
  await eventually("the file has the new line", () =>
    readFileSync(join(ada.home, "notes.txt"), "utf8").includes("typed in the browser"),
  );
});

test("a command typed in a terminal runs in the workspace", async () => {
  await ada.theia.newTerminal();
  await ada.theia.typeInTerminal("echo answer-$((6 * 7)) | tee answer.txt");
  await eventually("the terminal shows it", async () => (await ada.theia.terminalText()).includes("answer-42"));
  assert.equal(readFileSync(join(ada.home, "answer.txt"), "utf8"), "answer-42\n");
});

test("an open tab recovers without a reload when its workspace was stopped and started, terminal included", async () => {
  await ada.page.evaluate(() => {
    window.sameDocument = true;
  });
  const portal = new Portal(await ada.context.newPage(), gateway);
  await portal.stop("ide");
  await ada.theia.disconnected();
  await portal.start("ide");
  await portal.page.close();

  await ada.theia.connected();
  assert.equal(await ada.page.evaluate(() => window.sameDocument), true, "the document is still the same");
  await ada.theia.typeInTerminal("echo again-$((20 + 3)) > again.txt");
  await eventually("the terminal's command has run", () => existsSync(join(ada.home, "again.txt")));
  await ada.theia.open("answer.txt");
});

test("a second user gets a workspace of their own and never sees the first's", async () => {
  const deng = await arrive(USERS.deng);
  assert.notEqual(deng.home, ada.home);
  const files = await deng.theia.files();
  assert.ok(!files.includes("notes.txt") && !files.includes("answer.txt"), `deng sees ${files}`);

  await deng.theia.newTerminal();
  await deng.theia.typeInTerminal("pwd > where.txt");
  await eventually("deng's command has run", () => existsSync(join(deng.home, "where.txt")));
  assert.equal(readFileSync(join(deng.home, "where.txt"), "utf8").trim(), deng.home);
  assert.ok(!existsSync(join(ada.home, "where.txt")));
  // Ada's tab goes on undisturbed beside it.
  await ada.theia.typeInTerminal("echo still-$((1 + 1)) > still.txt");
  await eventually("ada's command has run", () => existsSync(join(ada.home, "still.txt")));
  await deng.context.close();
});

test("a signed-out tab loses its connection and cannot come back", async () => {
  const portal = new Portal(await ada.context.newPage(), gateway);
  await portal.signOut();
  await ada.theia.disconnected();
  const answer = await ada.page.evaluate(async () => (await fetch("/ide/")).status);
  assert.equal(answer, 401);
});
