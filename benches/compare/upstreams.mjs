// What stands behind the servers: one nginx with two small files, and a WebSocket end.
//
// The same nginx answers for every workspace, on a port of its own for each. A process for each would be woken for each
// request, and the kernel charges that to whoever writes: to the gateway alone, since the others have one upstream.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { freePorts } from "../../tests/support/gateway.mjs";
import { OTHER_CORES, startOn } from "./process.mjs";

/** The bodies, by the name of the file that holds them. */
export const BODIES = { "1k": 1024, "64k": 65_536 };

const CONFIGURATION = `
daemon off;
# The folder is only its owner's to read; without effect unless that is root.
user @USER@;
worker_processes 1;
pid nginx.pid;
error_log stderr emerg;
events { worker_connections 4000; }
http {
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_timeout 1h;
  keepalive_requests 1000000000;
  open_file_cache max=10;
  client_body_temp_path t; proxy_temp_path t; fastcgi_temp_path t; uwsgi_temp_path t; scgi_temp_path t;
  server {
    listen 127.0.0.1:@PORT@ backlog=1024;
    include ports/*;
    root @ROOT@;
    location = / { return 200 "ready"; }
  }
}
`;

/** Makes the folder with the bodies; everything of the bench goes in there. */
export function prepare() {
  const folder = mkdtempSync(join(tmpdir(), "usher-bench-"));
  const bodies = join(folder, "bodies");
  mkdirSync(bodies);
  for (const [name, size] of Object.entries(BODIES)) writeFileSync(join(bodies, name), "x".repeat(size));
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** The command of a workspace: it has the shared nginx listen on the port in `$PORT` too, and does nothing itself. */
export function upstreamCommand(folder) {
  const own = join(folder, "shared");
  const listen = `echo "listen 127.0.0.1:$PORT;" > "${own}/ports/$PORT" && kill -HUP $(cat "${own}/nginx.pid")`;
  return ["/bin/sh", "-c", `${listen} && exec sleep infinity`];
}

/** The command of a workspace that is a WebSocket end. */
export function echoCommand(port) {
  return ["taskset", "-c", OTHER_CORES, process.execPath, join(import.meta.dirname, "echo.mjs"), port];
}

/** Starts the upstream of the servers that have only one, and their WebSocket end. */
export async function startShared(folder) {
  const [web, sockets] = await freePorts(2);
  const own = join(folder, "shared");
  mkdirSync(join(own, "ports"), { recursive: true });
  const configuration = CONFIGURATION.replace("@PORT@", web)
    .replace("@USER@", userInfo().username)
    .replace("@ROOT@", join(folder, "bodies"));
  writeFileSync(join(own, "nginx.conf"), configuration);
  const nginx = await startOn(OTHER_CORES, ["nginx", "-p", own, "-c", join(own, "nginx.conf")], {
    cwd: own,
    name: "the shared upstream",
    ready: () => accepts(web),
  });
  const echo = await startOn(OTHER_CORES, echoCommand(String(sockets)).slice(3), {
    name: "the WebSocket end",
    ready: () => accepts(sockets),
  });
  return {
    web,
    sockets,
    stop: async () => {
      await nginx.stop();
      await echo.stop();
    },
  };
}

/** Whether something listens on a port of 127.0.0.1. */
export function accepts(port) {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.on("connect", () => resolve(true)).on("error", () => resolve(false));
    socket.on("connect", () => socket.destroy());
  });
}
