// Sign-ins a second through the gateway against slapd with 8,000 people, beside `ldapwhoami` in as many loops: the
// floor of what a directory and its TLS cost. Usage: node main.mjs [--seconds N] [--at-once N]

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { Agent, request } from "node:https";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ARTEFACTS, Gateway } from "../../tests/support/gateway.mjs";
import { cpuMicroseconds } from "../compare/process.mjs";
import { BASE, PEOPLE, SERVICE, startSlapd } from "./slapd.mjs";

const { values } = parseArgs({
  options: { seconds: { type: "string", default: "10" }, "at-once": { type: "string", default: "8" } },
});
const SECONDS = Number(values.seconds);
const AT_ONCE = Number(values["at-once"]);

async function main() {
  const slapd = await startSlapd();
  try {
    const floor = await measured((stop) => loops((person) => whoAmI(slapd, person), stop));
    const gateway = await startGateway(slapd);
    try {
      const before = cpuMicroseconds(gateway.pid);
      const through = await measured((stop) => loops(browser(gateway), stop));
      report(floor, through, (cpuMicroseconds(gateway.pid) - before) / through.count);
    } finally {
      await gateway.stop();
    }
  } finally {
    await slapd.stop();
  }
}

function startGateway(slapd) {
  const ldap = {
    urls: [slapd.url],
    ca_file: slapd.authority,
    bind_dn: SERVICE.dn,
    bind_password_file: "service-password",
    users: { base: `ou=People,${BASE}`, filter: "(&(objectClass=person)(uid={user}))" },
  };
  const adapt = (configuration, folder) => {
    writeFileSync(join(folder, "service-password"), SERVICE.password, { mode: 0o600 });
    configuration.identity = {
      directories: [{ name: "bench", ldap }],
      tenant: [{ dn: "uid=[^,]+,ou=(?<tenant>t[0-9]+),.*" }],
    };
    return configuration;
  };
  return Gateway.start("logins", {}, { users: [], adapt, discardOutput: true });
}

/** Runs `work` for the time of a measurement; returns how much was done and at what rate. */
async function measured(work) {
  const began = performance.now();
  const count = await work(() => performance.now() - began > SECONDS * 1000);
  return { count, rate: (count / (performance.now() - began)) * 1000 };
}

/** As many loops as are to run at once, over people of different tenants; returns how often `once` was done. */
async function loops(once, stop) {
  let next = 0;
  const loop = async () => {
    let done = 0;
    for (; !stop(); done += 1) await once(PEOPLE[next++ % PEOPLE.length]);
    return done;
  };
  const counts = await Promise.all(Array.from({ length: AT_ONCE }, loop));
  return counts.reduce((sum, count) => sum + count, 0);
}

async function whoAmI(slapd, { dn, password }) {
  const child = spawn("ldapwhoami", ["-x", "-H", slapd.url, "-D", dn, "-w", password], {
    env: { ...process.env, LDAPTLS_CACERT: slapd.authority },
    stdio: "ignore",
  });
  const [code] = await once(child, "exit");
  if (code !== 0) throw new Error(`ldapwhoami ended with ${code}`);
}

/** Fills in the form as somebody does: the page, then its form. Connections are kept, as browsers do. */
function browser(gateway) {
  const agent = new Agent({ keepAlive: true, ca: gateway.authority, maxSockets: AT_ONCE });
  const headers = { accept: "text/html", "sec-fetch-dest": "document", "sec-fetch-mode": "navigate" };
  const send = (method, more, body) =>
    new Promise((resolve, reject) => {
      const options = { method, agent, headers: { ...headers, ...more } };
      const sent = request(`${gateway.url}/.usher/login`, options, (answer) => {
        let text = "";
        answer.setEncoding("utf8").on("data", (chunk) => (text += chunk));
        answer.on("end", () => resolve({ status: answer.statusCode, headers: answer.headers, text }));
      });
      sent.on("error", reject).end(body);
    });
  return async ({ name, password }) => {
    const page = await send("GET", { "sec-fetch-site": "none" });
    const token = page.text.match(/name="token" value="([^"]*)"/)[1];
    const more = {
      cookie: page.headers["set-cookie"].map((line) => line.split(";", 1)[0]).join("; "),
      "content-type": "application/x-www-form-urlencoded",
      origin: gateway.url,
      "sec-fetch-site": "same-origin",
    };
    const answer = await send("POST", more, new URLSearchParams({ token, user: name, password }).toString());
    if (answer.status !== 303) throw new Error(`${name} could not sign in: ${answer.status}`);
  };
}

function report(floor, through, cpu) {
  const text = [
    `# Sign-ins against slapd with ${PEOPLE.length} people, ${AT_ONCE} at once, ${SECONDS} s each\n`,
    "| | a second | CPU time of the gateway each |",
    "| --- | --- | --- |",
    `| \`ldapwhoami\` in loops | ${floor.rate.toFixed(0)} | |`,
    `| through the gateway | ${through.rate.toFixed(0)} | ${(cpu / 1000).toFixed(2)} ms |`,
    "",
    `The gateway does ${(through.rate / floor.rate).toFixed(2)} times as many as the loops.\n`,
  ].join("\n");
  mkdirSync(ARTEFACTS, { recursive: true });
  writeFileSync(join(ARTEFACTS, "bench-logins.md"), text);
  process.stdout.write(text);
}

await main();
