// Chromium, as the tests start it.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { ARTEFACTS } from "../../support/gateway.mjs";

/** Keeps Chromium from asking for anything that is not the gateway. */
const QUIET = [
  // Without WebGL, Theia's terminal draws text into the document, where a test can read it.
  "--disable-3d-apis",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-gpu",
  "--disable-quic",
  "--disable-sync",
  "--no-first-run",
];

/** Starts Chromium. With a gateway given, its certificate is trusted, and no other that cannot be verified. */
export function launch(gateway) {
  const trust = gateway ? [`--ignore-certificate-errors-spki-list=${gateway.certificateHash}`] : [];
  // Chromium's own sandbox needs namespaces that containers often lack; root may not use it at all.
  const sandbox = process.getuid() === 0 || process.env.CI ? ["--no-sandbox"] : [];
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    headless: true,
    args: [...QUIET, ...sandbox, ...trust],
  });
}

/** The sizes that pages are looked at. */
export const VIEWPORTS = {
  phone: { width: 360, height: 740 },
  desktop: { width: 1280, height: 800 },
};

/** Writes a picture of the whole page to `artefacts/screenshots/NAME.png`. */
export async function picture(page, name) {
  const folder = join(ARTEFACTS, "screenshots");
  mkdirSync(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
}
