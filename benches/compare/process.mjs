// Reads what a process has used, from /proc.

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { eventually } from "../../tests/support/waiting.mjs";

const TICKS_PER_SECOND = Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));

/** The core that the server under test has to itself, and the ones for everything else. */
export const SERVER_CORE = "0";
export const OTHER_CORES = otherCores();

/** How many files a process may have open here, and how many tunnels that allows a server: two sockets each. */
export const OPEN_FILES = Number(execFileSync("sh", ["-c", "ulimit -n"], { encoding: "utf8" }));
export const MOST_TUNNELS = Math.floor((OPEN_FILES - 200) / 2);

/** CPU time of a process with all its threads, in microseconds; its children are not in it. */
export function cpuMicroseconds(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The name, in parentheses, may hold anything; utime and stime are the 12th and 13th field after it.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return ((Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND) * 1e6;
}

/** Resident set of a process in KiB. */
export function residentKib(pid) {
  return Number(readFileSync(`/proc/${pid}/status`, "utf8").match(/^VmRSS:\s+(\d+) kB/m)[1]);
}

/**
 * Allocators give memory back in their own time: jemalloc, by default, ten seconds after it was freed, and once its
 * thread wakes. What a sign-in took for its hash, 19 MiB, is to be gone before the first reading, or the tunnels would
 * seem to cost nothing until they have used it up.
 */
const GIVEN_BACK_SECONDS = 25;

/** The resident set once what was freed has been given back and it has stopped moving; after 50 s at the latest. */
export async function settledResidentKib(pid) {
  let last = residentKib(pid);
  let same = 0;
  for (let second = 0; second < 50 && (second < GIVEN_BACK_SECONDS || same < 3); second += 1) {
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const now = residentKib(pid);
    same = Math.abs(now - last) <= last * 0.002 ? same + 1 : 0;
    last = now;
  }
  return last;
}

/** Starts a program on the given cores; `ready` is polled until it answers. Returns `{ pid, stop }`. */
export async function startOn(cores, command, { cwd, ready, name = command[0] } = {}) {
  const child = spawn("taskset", ["-c", cores, ...command], { cwd, stdio: ["ignore", "ignore", "inherit"] });
  const stop = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill("SIGTERM");
    await ended;
  };
  await eventually(`${name} is ready`, async () => {
    if (child.exitCode !== null) throw new Error(`${name} ended with ${child.exitCode}`);
    return ready();
  });
  return { pid: child.pid, stop };
}

function otherCores() {
  const cores = Number(execFileSync("nproc", { encoding: "utf8" }));
  if (cores < 2) throw new Error("the bench needs two cores, one of them for the server alone");
  return cores === 2 ? "1" : `1-${cores - 1}`;
}
