// The load: wrk for HTTP/1.1, h2load for HTTP/2. Both return how many requests were answered with 200, and fail on
// any other answer: a server that refuses quickly must not look cheap.

import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { OTHER_CORES } from "./process.mjs";

const run = promisify(execFile);
const H1_CONNECTIONS = 32;
const H2_PROCESSES = 8;
const H2_CONNECTIONS = 2;
const H2_STREAMS = 10;

/** HTTP/1.1 for a time; each request carries the next of the cookies. */
export async function http1(folder, url, cookies, seconds) {
  const script = join(folder, "wrk.lua");
  writeFileSync(script, wrkScript(cookies));
  const { stdout } = await run("taskset", [
    "-c", OTHER_CORES, "wrk", "-t1", `-c${H1_CONNECTIONS}`, `-d${seconds}s`, "--timeout", "10s", "-s", script, url,
  ]);
  const bad = stdout.match(/Non-2xx or 3xx responses: (\d+)/) ?? stdout.match(/Socket errors: (.*)/);
  if (bad) throw new Error(`${url}: ${bad[0]}`);
  return Number(stdout.match(/(\d+) requests in/)[1]);
}

function wrkScript(cookies) {
  const list = cookies.map((cookie) => `"${cookie}"`).join(",\n  ");
  return `
local cookies = {
  ${list}
}
local requests = {}
local at = 0
function init()
  for i, cookie in ipairs(cookies) do requests[i] = wrk.format("GET", nil, { ["Cookie"] = cookie }) end
end
function request()
  at = at % #requests + 1
  return requests[at]
end
`;
}

/** HTTP/2 for a time; several processes at once, each with a cookie of its own. */
export async function http2(folder, url, cookies, seconds) {
  const runs = Array.from({ length: H2_PROCESSES }, (_, at) => h2load(url, cookies[at % cookies.length], seconds));
  const counts = await Promise.all(runs);
  return counts.reduce((sum, count) => sum + count, 0);
}

async function h2load(url, cookie, seconds) {
  const { stdout } = await run("taskset", [
    "-c", OTHER_CORES, "h2load", `-c${H2_CONNECTIONS}`, `-m${H2_STREAMS}`, `-D${seconds}`, "-H", `cookie: ${cookie}`, url,
  ]);
  const status = stdout.match(/status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx/);
  const [good, ...others] = status.slice(1).map(Number);
  // A handful of requests may be under way when the time is up; what came back was answered well.
  if (others.some((count) => count > 0)) throw new Error(`${url}: ${status[0]}`);
  return good;
}
