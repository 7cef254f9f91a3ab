// A door for a client that can neither speak TLS nor send headers of its own: it listens on loopback, adds to the
// opening request what the gateway asks for (path, Host, Cookie, Origin), and then passes bytes on untouched.

import { createServer } from "node:net";
import { connect } from "node:tls";

/** Opens a door to `path` of the gateway. Resolves to its port and a function that shuts it. */
export function openDoor(gateway, path, cookie) {
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    let head = Buffer.alloc(0);
    client.on("error", () => client.destroy());
    client.on("data", function collect(chunk) {
      head = Buffer.concat([head, chunk]);
      const end = head.indexOf("\r\n\r\n");
      if (end < 0) return;
      client.off("data", collect);
      client.pause();
      passOn(client, rewritten(head.subarray(0, end).toString("latin1")), head.subarray(end + 4));
    });
  });

  function rewritten(head) {
    const lines = head.split("\r\n").slice(1).filter((line) => !/^(host|origin|cookie):/i.test(line));
    const ours = [`Host: localhost:${gateway.port}`, `Origin: ${gateway.url}`, `Cookie: ${cookie}`];
    return [`GET ${path} HTTP/1.1`, ...ours, ...lines, "", ""].join("\r\n");
  }

  function passOn(client, head, rest) {
    const options = { host: "127.0.0.1", port: gateway.port, servername: "localhost", ca: gateway.authority };
    const upstream = connect({ ...options, ALPNProtocols: ["http/1.1"], allowHalfOpen: true }, () => {
      upstream.setNoDelay(true);
      upstream.write(Buffer.concat([Buffer.from(head, "latin1"), rest]));
      client.pipe(upstream);
      upstream.pipe(client);
    });
    // Whichever side goes in disorder, the other sees the same.
    upstream.on("error", () => client.destroy());
    upstream.on("close", () => client.destroySoon());
    client.on("close", () => upstream.destroySoon());
  }

  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve({ port: server.address().port, shut: () => server.close() }));
  });
}
