// The gateway beside nginx and HAProxy on the same work in turn. See README.md for what is measured and how.

import { fork } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ARTEFACTS } from "../../tests/support/gateway.mjs";
import { http1, http2 } from "./load.mjs";
import { cpuMicroseconds, MOST_TUNNELS, OTHER_CORES, settledResidentKib } from "./process.mjs";
import { certificate, startHaproxy, startNginx, startUsher } from "./servers.mjs";
import { prepare, startShared } from "./upstreams.mjs";

const { values: options } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    only: { type: "string", default: "" },
    servers: { type: "string", default: "usher,usher+log,nginx,nginx+log,haproxy" },
    rounds: { type: "string" },
    seconds: { type: "string" },
  },
});
const ROUNDS = Number(options.rounds ?? (options.quick ? 1 : 3));
const SECONDS = Number(options.seconds ?? (options.quick ? 2 : 8));
// As many as the limit on open files allows, and ten thousand at most.
const TUNNELS = options.quick ? [500] : [2_000, Math.min(10_000, MOST_TUNNELS)];
const CASES = [
  { name: "HTTP/1.1, 1 KiB", load: http1, body: "1k" },
  { name: "HTTP/1.1, 64 KiB", load: http1, body: "64k" },
  { name: "HTTP/2, 1 KiB", load: http2, body: "1k" },
  { name: "HTTP/2, 64 KiB", load: http2, body: "64k" },
];
const STARTERS = {
  usher: (bench, settings) => startUsher(bench, settings),
  "usher+log": (bench, settings) => startUsher(bench, { ...settings, access: true }),
  nginx: (bench) => startNginx(bench),
  "nginx+log": (bench) => startNginx(bench, { access: true }),
  haproxy: (bench) => startHaproxy(bench),
};
const TITLES = {
  usher: "usher (session, route by identity)",
  "usher+log": "usher, access log on",
  nginx: "nginx (no authentication)",
  "nginx+log": "nginx, access log on",
  haproxy: "HAProxy (no authentication)",
};
const NAMES = options.servers.split(",");

async function main() {
  const prepared = prepare();
  const bench = { folder: prepared.folder };
  try {
    bench.certs = certificate(bench.folder);
    bench.shared = await startShared(bench.folder);
    const parts = [heading()];
    if (options.only !== "memory") parts.push(cpuTable(await measureCpu(bench)));
    if (options.only !== "http") parts.push(memoryTable(await measureMemory(bench)));
    const text = parts.join("\n");
    mkdirSync(ARTEFACTS, { recursive: true });
    writeFileSync(join(ARTEFACTS, "bench.md"), text);
    process.stdout.write(`\n${text}`);
  } finally {
    await bench.shared?.stop();
    prepared.remove();
  }
}

/** CPU-µs a request: server -> case -> one sample a round. Within a round the servers take turns, case by case. */
async function measureCpu(bench) {
  const servers = {};
  const samples = {};
  // Sign-in is the same for all servers: they get requests of the same length.
  const cookies = { default: [`__Host-usher=${"c".repeat(200)}`] };
  try {
    for (const name of NAMES) {
      progress(`starting ${name}`);
      servers[name] = await STARTERS[name](bench);
      await servers[name].openFiles();
    }
    for (const sample of [...Array(ROUNDS).keys()]) {
      for (const { name: work, load, body } of CASES) {
        for (const [name, server] of Object.entries(servers)) {
          const url = `https://localhost:${server.port}/ide/${body}`;
          const sent = server.cookies ?? cookies.default;
          await load(bench.folder, url, sent, 1);
          const [cpu, began] = [cpuMicroseconds(server.pid), Date.now()];
          const count = await load(bench.folder, url, sent, SECONDS);
          const used = cpuMicroseconds(server.pid) - cpu;
          const result = { micros: used / count, busy: used / 1000 / (Date.now() - began) };
          ((samples[name] ??= {})[work] ??= []).push(result);
          progress(
            `round ${sample + 1}/${ROUNDS}  ${work.padEnd(16)}  ${name.padEnd(10)} ${result.micros.toFixed(1)} µs, ` +
              `core ${(result.busy * 100).toFixed(0)} % busy`,
          );
        }
      }
    }
  } finally {
    for (const server of Object.values(servers)) await server.stop();
  }
  return samples;
}

/** KiB a tunnel: server -> one { count, idle, after } for each number of tunnels. Each in a fresh process. */
async function measureMemory(bench) {
  const results = {};
  for (const count of TUNNELS) {
    for (const name of NAMES.filter((name) => !name.endsWith("+log"))) {
      progress(`${count} tunnels through ${name}`);
      const server = await STARTERS[name](bench, { users: 1 });
      try {
        await server.openSockets();
        (results[name] ??= []).push(await measureTunnels(server, count));
      } finally {
        await server.stop();
      }
    }
  }
  return results;
}

async function measureTunnels(server, count) {
  const cookie = server.cookies?.[0] ?? "a=b";
  const client = fork(
    join(import.meta.dirname, "tunnels.mjs"),
    [JSON.stringify({ port: server.port, path: "/echo/", origin: server.origin, cookie })],
    { execPath: "taskset", execArgv: ["-c", OTHER_CORES, process.execPath] },
  );
  const tell = async (order) => {
    client.send(order);
    const [answer] = await once(client, "message");
    if (answer.error) throw new Error(`the tunnels: ${answer.error}`);
  };
  try {
    // The first ones make what is made once.
    await tell({ open: 10 });
    const before = await settledResidentKib(server.pid);
    await tell({ open: count });
    const idle = await settledResidentKib(server.pid);
    await tell({ exchange: true });
    const after = await settledResidentKib(server.pid);
    const result = { count, idle: (idle - before) / count, after: (after - before) / count };
    progress(`  ${result.idle.toFixed(1)} KiB each, ${result.after.toFixed(1)} after 30 KiB each way`);
    return result;
  } finally {
    const gone = once(client, "exit");
    client.disconnect();
    await gone;
  }
}

function cpuTable(samples) {
  const median = (name, work) => middle(samples[name]?.[work]?.map((sample) => sample.micros));
  const cell = (name, work) => {
    const [micros, nginx] = [median(name, work), median("nginx", work)];
    return nginx ? `${micros.toFixed(1)} (×${(micros / nginx).toFixed(2)})` : micros.toFixed(1);
  };
  const rows = NAMES.map((name) => [TITLES[name], ...CASES.map(({ name: work }) => cell(name, work))]);
  return [
    `## CPU-µs a request (in parentheses: against nginx in the same run)\n`,
    table(["", ...CASES.map(({ name }) => name)], rows),
    `Median of ${ROUNDS} rounds of ${SECONDS} s; TLS 1.3.\n`,
  ].join("\n");
}

function memoryTable(results) {
  const columns = TUNNELS.flatMap((count) => [`${count} idle`, `${count} after 30 KiB each way`]);
  const nginx = results.nginx;
  const rows = Object.entries(results).map(([name, list]) => [
    TITLES[name],
    ...list.flatMap((result, at) =>
      ["idle", "after"].map((key) => {
        const ratio = nginx ? ` (×${(result[key] / nginx[at][key]).toFixed(2)})` : "";
        return result[key].toFixed(1) + ratio;
      }),
    ),
  ]);
  return [`## KiB of resident memory for each TLS WebSocket\n`, table(["", ...columns], rows), ""].join("\n");
}

function table(head, rows) {
  const line = (cells) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line), ""].join("\n");
}

function heading() {
  const model = readFileSync("/proc/cpuinfo", "utf8").match(/^model name\s*: (.*)$/m)?.[1] ?? "unknown processor";
  return `# The gateway beside nginx and HAProxy\n\nOn ${model}; each server on one core, one thread.\n`;
}

function middle(values = [NaN]) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

function progress(text) {
  process.stderr.write(`${text}\n`);
}

await main();
