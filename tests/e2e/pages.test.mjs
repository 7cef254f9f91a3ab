// The gateway's own pages: in both languages, on a phone and on a desk, with and without scripts.
// A picture of each is left in artefacts/screenshots.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, describe, test } from "node:test";
import { launch, picture, VIEWPORTS } from "./lib/browser.mjs";
import { Gateway, shellKind, USERS, USHER } from "../support/gateway.mjs";
import { Portal, startPage } from "./lib/portal.mjs";
import { eventually } from "../support/waiting.mjs";

const LANGUAGES = { en: "en-US", zh: "zh-CN" };
const SAMPLE = `exec "${USHER}" sample-workspace --port "$PORT"`;

/** Somebody whose company has no access. */
const GUO = { name: "guo", tenant: "closed", password: "paper clip 3" };

let gateway;
let browser;

before(async () => {
  const kinds = {
    ide: shellKind({ title: "Workshop", line: SAMPLE }),
    slow: shellKind({ title: "Slow to start", line: `sleep 8; ${SAMPLE}` }),
    broken: shellKind({ title: "Broken", line: "echo 'no licence left on licence.example' >&2; exit 3" }),
  };
  const adapt = (configuration) => {
    configuration.tenants.closed.disabled = true;
    return configuration;
  };
  gateway = await Gateway.start("pages", kinds, { users: [...Object.values(USERS), GUO], adapt });
  browser = await launch(gateway);
});

after(async () => {
  await browser?.close();
  await gateway?.stop();
});

/** A page in a new context that fails the test on an error of a script or of the Content-Security-Policy. */
async function open({ locale = "en-US", viewport = VIEWPORTS.desktop, ...rest } = {}) {
  const context = await browser.newContext({ locale, viewport, ...rest });
  const page = await context.newPage();
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error" && /Content.Security.Policy/i.test(message.text())) complaints.push(message.text());
  });
  return { context, page, portal: new Portal(page, gateway), complaints };
}

/** Waits until the page has gone on, by itself, to the sample workspace. */
async function arrived(page) {
  await eventually("the page goes on to the workspace", async () => (await page.title()) === "Sample workspace", {
    within: 40_000,
  });
  await page.waitForLoadState();
}

async function looksRight(page, language) {
  const { lang, overflow } = await page.evaluate(() => ({
    lang: document.documentElement.lang,
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  }));
  assert.ok(lang.startsWith(language), `the page says that its language is "${lang}"`);
  assert.ok(overflow <= 0, `the page is ${overflow} px too wide`);
}

for (const [language, locale] of Object.entries(LANGUAGES)) {
  for (const [size, viewport] of Object.entries(VIEWPORTS)) {
    describe(`${language} ${size}`, () => {
      test("login, home, start and failure page", async () => {
        const { context, page, portal, complaints } = await open({ locale, viewport });
        const shot = (name) => picture(page, `${name}-${language}-${size}`);

        await page.goto(gateway.url);
        await page.locator("input[name=password]").waitFor();
        await looksRight(page, language);
        await shot("login");

        await portal.fillIn({ name: "ada", password: "wrong" });
        await page.locator("[role=alert]").waitFor();
        await looksRight(page, language);
        await shot("login-refused");

        await portal.fillIn(GUO);
        await page.getByText("it@closed.example").waitFor();
        await looksRight(page, language);
        await shot("no-access");
        await page.locator("main a.button").click();

        await portal.fillIn(USERS.ada);
        await portal.card("ide").waitFor();
        await looksRight(page, language);
        await shot("home");

        // One workspace for all four runs: it is stopped before and after.
        if ((await portal.phase("slow")) !== "stopped") await portal.stop("slow");
        await page.goto(`${gateway.url}/slow/`);
        await startPage(page).waitFor();
        await looksRight(page, language);
        await shot("start");
        await arrived(page);
        assert.equal(new URL(page.url()).pathname, "/slow/");
        await portal.stop("slow");
        await shot("home-stopped");

        await page.goto(`${gateway.url}/broken/`);
        await startPage(page, "failed").waitFor({ timeout: 40_000 });
        await looksRight(page, language);
        await shot("failure");

        assert.deepEqual(complaints, []);
        await context.close();
      });
    });
  }
}

test("signing in leads to the address that was first asked for", async () => {
  const { context, page, portal } = await open();
  await portal.signIn(USERS.deng, "/ide/some/where?with=query");
  await eventually("the address is reached", () => page.url() === `${gateway.url}/ide/some/where?with=query`);
  await context.close();
});

test("without scripts one can sign in, start a workspace and get into it", async () => {
  const { context, page, portal } = await open({ javaScriptEnabled: false });
  await portal.signIn(USERS.ada);
  await portal.card("ide").waitFor();
  await page.goto(`${gateway.url}/ide/`);
  await arrived(page);
  await context.close();
});

test("the language switch stays", async () => {
  const { context, page } = await open({ locale: "en-US" });
  await page.goto(gateway.url);
  await page.locator('.languages [hreflang^="zh"]').click();
  await eventually("the page is Chinese", () => page.evaluate(() => document.documentElement.lang.startsWith("zh")));
  await page.goto(gateway.url);
  await looksRight(page, "zh");
  await context.close();
});

test("every field and button has a name that a screen reader can say", async () => {
  const { context, page, portal } = await open();
  const nameless = () =>
    page.evaluate(() =>
      [...document.querySelectorAll("input:not([type=hidden]), button, a[href]")]
        .filter((element) => {
          const label = element.labels?.[0]?.innerText ?? "";
          const named = element.getAttribute("aria-label") ?? element.getAttribute("aria-labelledby") ?? "";
          return !(label.trim() || named.trim() || element.textContent.trim());
        })
        .map((element) => element.outerHTML),
    );
  await page.goto(gateway.url);
  assert.deepEqual(await nameless(), []);
  await portal.signIn(USERS.ada);
  await portal.card("ide").waitFor();
  assert.deepEqual(await nameless(), []);
  await context.close();
});

test("the metrics pass promtool", { skip: !hasPromtool() && !process.env.CI }, async () => {
  // Not quite silent about style at all times, so the exit code is what counts; its words are shown on a failure.
  execFileSync("promtool", ["check", "metrics"], { input: await gateway.metrics(), encoding: "utf8" });
});

function hasPromtool() {
  try {
    execFileSync("promtool", ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}
