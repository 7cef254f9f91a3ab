// Eclipse Theia as a person at the keyboard sees it.

import { eventually } from "../../support/waiting.mjs";

/** First load of the 14 MB bundle on a small machine. */
const FIRST_LOAD = 90_000;

/** An open IDE in a page. */
export class Theia {
  constructor(page) {
    this.page = page;
  }

  /** Waits until the IDE has drawn itself and has its connection. */
  async ready() {
    await this.page.locator("#theia-app-shell").waitFor({ timeout: FIRST_LOAD });
    await this.page.locator(".theia-preload").waitFor({ state: "detached", timeout: FIRST_LOAD });
    await this.connected();
  }

  /** Waits until the IDE does not say that it is offline. */
  async connected() {
    await eventually("the IDE is online", async () => !(await this.#offline()), { within: 60_000 });
  }

  /** Waits until the IDE says that it is offline. */
  async disconnected() {
    await eventually("the IDE is offline", () => this.#offline(), { within: 60_000 });
  }

  #offline() {
    return this.page.evaluate(() => document.body.classList.contains("theia-mod-offline"));
  }

  /** The names in the explorer. */
  async files() {
    const explorer = this.page.locator("#files");
    if (!(await explorer.isVisible())) {
      await this.page.keyboard.press("Control+Shift+E");
      await explorer.waitFor({ timeout: 15_000 });
    }
    await explorer.locator(".theia-TreeNode").first().waitFor({ timeout: 15_000 });
    return explorer.locator(".theia-TreeNode").allInnerTexts();
  }

  /** Opens a file of the workspace's folder in an editor. */
  async open(name) {
    await this.files();
    await this.page.locator("#files .theia-TreeNode", { hasText: name }).dblclick();
    await this.page.locator(".monaco-editor .view-lines").first().waitFor({ timeout: 20_000 });
  }

  /** The text in the open editor. */
  async editorText() {
    const lines = await this.page.locator(".monaco-editor .view-lines").first().innerText();
    // Monaco draws blanks as no-break spaces.
    return lines.replaceAll("\u00a0", " ");
  }

  /** Types at the end of the open editor and saves. */
  async appendAndSave(text) {
    await this.page.locator(".monaco-editor .view-lines").first().click();
    await this.page.keyboard.press("Control+End");
    await this.page.keyboard.type(text);
    await this.page.keyboard.press("Control+S");
  }

  /** Opens a new terminal, and waits for its prompt. */
  async newTerminal() {
    const before = await this.#terminals().count();
    await this.page.keyboard.press("Control+Shift+Backquote");
    await eventually("a terminal opens", async () => (await this.#terminals().count()) > before);
    await eventually("the shell's prompt", async () => /[$#]\s*$/.test((await this.terminalText()).trimEnd() + " "));
  }

  /** Types a line into the terminal that is in front. */
  async typeInTerminal(line) {
    await this.#terminals().last().click();
    await this.page.keyboard.type(line);
    await this.page.keyboard.press("Enter");
  }

  /** Presses one key in the terminal that is in front. */
  async pressInTerminal(key) {
    await this.#terminals().last().click();
    await this.page.keyboard.press(key);
  }

  /** What the terminal in front shows. */
  async terminalText() {
    const rows = await this.page.locator(".xterm-rows").last().innerText();
    return rows.replaceAll("\u00a0", " ");
  }

  #terminals() {
    return this.page.locator(".terminal-container .xterm-screen");
  }
}
