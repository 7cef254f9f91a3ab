// A real gateway for tests and benches: a folder with a certificate, keys, users and a configuration, and the process.

import { execFileSync, spawn } from "node:child_process";
import { createHash, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { createWriteStream, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { eventually } from "./waiting.mjs";

export const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
export const ARTEFACTS = join(ROOT, "artefacts");
export const USHER = process.env.USHER_BINARY ?? join(ROOT, "target/debug/usher");
const THEIA = process.env.USHER_THEIA ?? join(ROOT, ".cache/theia");

/** How long a gateway may take to be ready, and to leave after TERM; milliseconds. */
const PATIENCE = 30_000;

/** The users of a gateway that is not given others. */
export const USERS = {
  ada: { name: "ada", tenant: "acme", password: "correct horse 1", display_name: "Ada Lovelace" },
  deng: { name: "deng", tenant: "globex", password: "battery staple 2", display_name: "邓小雨" },
};

/** A workspace kind that runs Eclipse Theia. */
export function theiaKind({ title = "Eclipse Theia", autostop = {} } = {}) {
  return {
    title,
    runtime: "process",
    process: {
      command: [process.execPath, join(THEIA, "lib/backend/main.js"), "{home}", "--hostname=127.0.0.1", "--port={port}"],
      environment: {
        HOME: "{home}",
        SHELL: "/bin/bash",
        THEIA_WEBVIEW_EXTERNAL_ENDPOINT: "{{hostname}}",
        THEIA_MINI_BROWSER_HOST_PATTERN: "{{hostname}}",
        FRONTEND_CONNECTION_TIMEOUT: "120000",
      },
      readiness: { http_path: "/" },
      stop_grace: "5s",
    },
    autostop,
    activity: ["theia"],
    theia: { hold_connection_token: true },
  };
}

/** A workspace kind that runs one line of shell; `$PORT` is its port. */
export function shellKind({ title, line, start_timeout = "20s" }) {
  return {
    title,
    runtime: "process",
    process: { command: ["/bin/sh", "-c", line], environment: { PORT: "{port}" }, stop_grace: "2s" },
    start_timeout,
  };
}

/** A running gateway. */
export class Gateway {
  /**
   * Starts a gateway with the given workspace kinds; each has a route of its own name (`ide` at `/ide/`).
   *
   * @param {string} name names its log among the artefacts
   * @param {Record<string, object>} workspaces
   * @param {object} options
   * @param {object[]} options.users with passwords in the clear; users with the same password share its hash
   * @param {(configuration: object, folder: string) => object} options.adapt changes the configuration before it is
   *   written to the folder
   * @param {string[]} options.prefix a command that runs the gateway's, such as `taskset -c 0`
   * @param {boolean} options.discardOutput log to nowhere, as a bench wants it
   */
  static async start(name, workspaces, options = {}) {
    const { users = Object.values(USERS), adapt = (configuration) => configuration } = options;
    const folder = mkdtempSync(join(tmpdir(), `usher-${name}-`));
    const [port, adminPort] = await freePorts(2);
    const gateway = new Gateway(name, folder, port, adminPort);
    gateway.#write(users, adapt(gateway.#configuration(workspaces, users), folder));
    await gateway.#run(options.prefix ?? [], options.discardOutput ?? false);
    return gateway;
  }

  #process;

  constructor(name, folder, port, adminPort) {
    this.name = name;
    this.folder = folder;
    this.port = port;
    this.url = `https://localhost:${port}`;
    this.adminPort = adminPort;
    this.adminUrl = `http://127.0.0.1:${adminPort}`;
  }

  get pid() {
    return this.#process.pid;
  }

  /** The development authority, for a client that verifies the certificate. */
  get authority() {
    return readFileSync(join(this.folder, "certs/ca.crt"));
  }

  /** The hash by which Chromium is told to trust this gateway's certificate, and no other that it cannot verify. */
  get certificateHash() {
    const certificate = new X509Certificate(readFileSync(join(this.folder, "certs/tls.crt")));
    const key = certificate.publicKey.export({ type: "spki", format: "der" });
    return createHash("sha256").update(key).digest("base64");
  }

  /** The folder under which the homes of all workspaces stand. */
  get homes() {
    return join(this.folder, "state/homes");
  }

  /** The text of the metrics page. */
  async metrics() {
    const answer = await fetch(`${this.adminUrl}/metrics`);
    return answer.text();
  }

  /** Ends the gateway as an operator would, and returns its exit code. */
  async stop() {
    if (this.#running()) {
      const ended = once(this.#process, "exit");
      this.#process.kill("SIGTERM");
      const tooLong = setTimeout(() => this.#process.kill("SIGKILL"), PATIENCE);
      await ended;
      clearTimeout(tooLong);
    }
    rmSync(this.folder, { recursive: true, force: true });
    return this.#process.exitCode;
  }

  #running() {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  #write(users, configuration) {
    execFileSync(USHER, ["dev-certificates", join(this.folder, "certs")]);
    execFileSync(USHER, ["session-key", join(this.folder, "session.key")]);
    // JSON is YAML.
    const write = (file, value) => writeFileSync(join(this.folder, file), JSON.stringify(value, null, 2), { mode: 0o600 });
    const hash = remembered((password) =>
      execFileSync(USHER, ["hash-password"], { input: password, encoding: "utf8" }).trim(),
    );
    write("users.yaml", { users: users.map((user) => ({ ...user, password: hash(user.password) })) });
    write("usher.yaml", configuration);
    execFileSync(USHER, ["check", join(this.folder, "usher.yaml")], { stdio: ["ignore", "ignore", "inherit"] });
  }

  #configuration(workspaces, users) {
    const tenants = [...new Set(users.map((user) => user.tenant))];
    return {
      public_url: this.url,
      state_dir: "state",
      listen: {
        public: {
          address: `127.0.0.1:${this.port}`,
          tls: { certificate: "certs/tls.crt", key: "certs/tls.key" },
        },
        admin: { address: `127.0.0.1:${this.adminPort}` },
      },
      session: { keys: [{ id: "k1", file: "session.key" }] },
      identity: { directories: [{ name: "test", users_file: { path: "users.yaml" } }] },
      tenants: Object.fromEntries(tenants.map((tenant) => [tenant, { contact: `it@${tenant}.example` }])),
      workspaces,
      routes: Object.keys(workspaces).map((kind) => ({ path: `/${kind}/`, workspace: kind })),
      shutdown: { drain_delay: "0s", nudge_window: "0s", deadline: "15s" },
    };
  }

  async #run(prefix, discardOutput) {
    const [program, ...rest] = [...prefix, USHER, "run", join(this.folder, "usher.yaml")];
    const output = discardOutput ? "ignore" : "pipe";
    this.#process = spawn(program, rest, { stdio: ["ignore", output, output] });
    if (!discardOutput) this.#keepLog();
    await eventually(
      "the gateway is ready",
      async () => !this.#running() || (await fetch(`${this.adminUrl}/readyz`)).ok,
      { within: PATIENCE },
    );
    if (!this.#running()) throw new Error(`the gateway ended at once; see artefacts/gateway-${this.name}.log`);
  }

  #keepLog() {
    mkdirSync(ARTEFACTS, { recursive: true });
    const log = createWriteStream(join(ARTEFACTS, `gateway-${this.name}.log`));
    this.#process.stdout.pipe(log, { end: false });
    this.#process.stderr.pipe(log, { end: false });
  }
}

/** Free TCP ports of 127.0.0.1. */
export async function freePorts(count) {
  const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((server) => once(server, "listening")));
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
  return ports;
}

function remembered(compute) {
  const known = new Map();
  return (key) => {
    if (!known.has(key)) known.set(key, compute(key));
    return known.get(key);
  };
}
