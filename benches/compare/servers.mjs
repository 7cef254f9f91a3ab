// The servers under test, each on core 0 with one worker. Every one is reached at `https://localhost:PORT/ide/…` for
// the files and at `/echo/` for WebSockets, takes the prefix out, and presents the gateway's development certificate.

import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePorts, Gateway, USHER } from "../../tests/support/gateway.mjs";
import { openWorkspace, signIn } from "../../tests/support/http.mjs";
import { MOST_TUNNELS, OPEN_FILES, SERVER_CORE, startOn } from "./process.mjs";
import { accepts, echoCommand, upstreamCommand } from "./upstreams.mjs";

/** As many users as workspaces. */
const USERS = 100;

/** One certificate for all. */
export function certificate(folder) {
  const certs = join(folder, "certs");
  execFileSync(USHER, ["dev-certificates", certs]);
  const both = ["tls.crt", "tls.key"].map((file) => readFileSync(join(certs, file), "utf8")).join("\n");
  writeFileSync(join(certs, "both.pem"), both, { mode: 0o600 });
  return certs;
}

/**
 * The gateway. `users` of them are signed in and have their workspace running.
 *
 * @param {{folder: string}} bench
 * @param {{users?: number, access?: boolean}} options `access`: write the access log (to nowhere)
 */
export async function startUsher({ folder }, { users = USERS, access = false } = {}) {
  const people = Array.from({ length: users }, (_, at) => ({
    name: `user${String(at + 1).padStart(3, "0")}`,
    tenant: `tenant${at % 10}`,
    password: "bench bench bench",
  }));
  const process_ = (command) => ({
    runtime: "process",
    process: { command, environment: { PORT: "{port}" }, stop_grace: "1s" },
    autostop: { human_idle: "0s" },
  });
  const gateway = await Gateway.start(
    "bench",
    { ide: process_(upstreamCommand(folder)), echo: process_(echoCommand("{port}")) },
    {
      users: people,
      prefix: ["taskset", "-c", SERVER_CORE],
      discardOutput: true,
      adapt: (configuration) => ({
        ...configuration,
        listen: { ...configuration.listen, threads: 1 },
        http: { max_connections_per_address: 0, max_connections: 0 },
        upstream: { idle_timeout: "60s", max_idle_connections: 64 },
        log: { access },
      }),
    },
  );
  const cookies = await inTurns(people, 4, (user) => signIn(gateway, user));
  return {
    pid: gateway.pid,
    port: gateway.port,
    origin: gateway.url,
    cookies,
    openFiles: () => inTurns(cookies, 4, (cookie) => openWorkspace(gateway, cookie, "/ide/1k")),
    openSockets: () => openWorkspace(gateway, cookies[0], "/echo/"),
    stop: () => gateway.stop(),
  };
}

/** nginx without authentication. */
export async function startNginx({ folder, certs, shared }, { access = false } = {}) {
  const [port] = await freePorts(1);
  const own = makeFolder(folder, "nginx");
  const file = join(own, "nginx.conf");
  writeFileSync(
    file,
    `
daemon off;
master_process off;
pid nginx.pid;
error_log stderr emerg;
# Twice what can be open: with less than a sixteenth left it closes connections whose handshake is under way.
events { worker_connections ${2 * OPEN_FILES}; }
http {
  ${access ? "access_log /dev/null combined;" : "access_log off;"}
  client_body_temp_path t; proxy_temp_path t; fastcgi_temp_path t; uwsgi_temp_path t; scgi_temp_path t;
  upstream files { server 127.0.0.1:${shared.web}; keepalive 128; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:${port} ssl http2 backlog=4096;
    ssl_certificate ${certs}/tls.crt;
    ssl_certificate_key ${certs}/tls.key;
    ssl_protocols TLSv1.2 TLSv1.3;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
    proxy_http_version 1.1;
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Proto $scheme;
    location /ide/ {
      proxy_pass http://files/;
      proxy_set_header Connection "";
      # Room for the larger body in memory, so that it never goes through a file.
      proxy_buffers 8 16k;
    }
    location /echo/ {
      proxy_pass http://127.0.0.1:${shared.sockets}/;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection upgrade;
      proxy_read_timeout 1h;
    }
  }
}
`,
  );
  const server = await startOn(SERVER_CORE, ["nginx", "-p", own, "-c", file], { name: "nginx", ready: () => accepts(port) });
  return plain(server, port);
}

/** HAProxy without authentication. */
export async function startHaproxy({ folder, certs, shared }, { access = false } = {}) {
  const [port] = await freePorts(1);
  const own = makeFolder(folder, "haproxy");
  const file = join(own, "haproxy.cfg");
  writeFileSync(
    file,
    `
global
  nbthread 1
  maxconn ${MOST_TUNNELS}
${access ? "  log stdout format raw local0" : ""}
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  timeout tunnel 1h
${access ? "  log global\n  option httplog" : ""}
frontend public
  bind 127.0.0.1:${port} ssl crt ${certs}/both.pem alpn h2,http/1.1 backlog 4096
  http-request set-header X-Forwarded-For %[src]
  http-request set-header X-Forwarded-Proto https
  use_backend sockets if { path_beg /echo/ }
  default_backend files
backend files
  http-request replace-path /ide/(.*) /\\1
  http-reuse always
  server one 127.0.0.1:${shared.web}
backend sockets
  http-request replace-path /echo/(.*) /\\1
  server one 127.0.0.1:${shared.sockets}
`,
  );
  const server = await startOn(SERVER_CORE, ["haproxy", "-db", "-q", "-f", file], { name: "haproxy", ready: () => accepts(port) });
  return plain(server, port);
}

function plain(server, port) {
  const nothing = async () => {};
  return { ...server, port, origin: `https://localhost:${port}`, openFiles: nothing, openSockets: nothing };
}

function makeFolder(folder, name) {
  const own = join(folder, name);
  mkdirSync(own, { recursive: true });
  return own;
}

/** Runs `work` over the items, `width` at a time, and keeps the order of the results. */
async function inTurns(items, width, work) {
  const results = [];
  const queue = items.entries();
  const worker = async () => {
    for (const [at, item] of queue) results[at] = await work(item);
  };
  await Promise.all(Array.from({ length: width }, worker));
  return results;
}
