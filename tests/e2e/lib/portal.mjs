// The gateway's own pages as a developer uses them.

import { eventually } from "../../support/waiting.mjs";

/** The portal in a page of a browser. */
export class Portal {
  /**
   * @param {import("playwright-core").Page} page
   * @param {{url: string}} gateway
   */
  constructor(page, gateway) {
    this.page = page;
    this.url = gateway.url;
  }

  /** Signs in; the page is wherever the gateway leads after that. */
  async signIn(user, path = "/") {
    await this.page.goto(this.url + path);
    await this.fillIn(user);
    await this.page.locator("input[name=password]").waitFor({ state: "detached" });
  }

  /** Fills in the sign-in form that is open, and sends it. */
  async fillIn({ name, password }) {
    await this.page.locator("input[name=user]").fill(name);
    await this.page.locator("input[name=password]").fill(password);
    await this.page.locator("form:has(input[name=password]) button[type=submit]").click();
  }

  /** Opens the home page. */
  async home() {
    await this.page.goto(`${this.url}/`);
  }

  /** The card of a workspace on the home page that is open. */
  card(kind) {
    return this.page.locator(`#card-${kind}`);
  }

  /** The phase of a workspace, as a freshly loaded home page tells it. */
  async phase(kind) {
    await this.home();
    return this.card(kind).getAttribute("data-phase");
  }

  /** Waits until a workspace is in one of the phases. */
  phaseBecomes(kind, phases, within = 60_000) {
    return eventually(`${kind} is ${phases.join(" or ")}`, async () => phases.includes(await this.phase(kind)), {
      within,
      every: 1000,
    });
  }

  /** Stops a workspace by its card. */
  async stop(kind) {
    await this.home();
    await this.page.locator(`#stop-menu-${kind} summary`).click();
    await this.page.locator(`#stop-menu-${kind} button[type=submit]`).click();
    await this.card(kind).and(this.page.locator('[data-phase="stopping"], [data-phase="stopped"]')).waitFor();
    await this.phaseBecomes(kind, ["stopped"]);
  }

  /** Signs out from the home page. */
  async signOut() {
    await this.home();
    await this.page.locator('form[action="/.usher/logout"] button').click();
    await this.page.locator("input[name=password]").waitFor();
  }

  /** Starts a workspace by its card, without opening it. */
  async start(kind) {
    await this.home();
    await this.page.locator(`#start-${kind}`).click();
    await this.card(kind).and(this.page.locator(':not([data-phase="stopped"])')).waitFor();
    await this.phaseBecomes(kind, ["running", "idle"]);
  }
}

/** The start page in the document that is open; a phase narrows it. */
export function startPage(page, phase) {
  return page.locator(`#start${phase ? `[data-phase="${phase}"]` : ""}`);
}
