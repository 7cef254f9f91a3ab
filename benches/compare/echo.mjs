// The WebSocket end behind the servers. It accepts every upgrade, and when it has read a message of MESSAGE bytes it
// sends one of the same size. Anything else gets a plain 200. Usage: node echo.mjs PORT

import { createHash } from "node:crypto";
import { createServer } from "node:http";
import { MESSAGE, header } from "./frame.mjs";

const answer = Buffer.concat([header(MESSAGE, false), Buffer.alloc(MESSAGE, "y")]);
const whole = header(MESSAGE, true).length + MESSAGE;

const server = createServer((request, response) => response.end("ready"));
server.on("upgrade", (request, socket) => {
  const key = request.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  const accept = createHash("sha1").update(key).digest("base64");
  socket.setNoDelay(true);
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  );
  let seen = 0;
  socket.on("data", (chunk) => {
    seen += chunk.length;
    for (; seen >= whole; seen -= whole) socket.write(answer);
  });
  socket.on("error", () => socket.destroy());
});
server.keepAliveTimeout = 0;
server.listen({ port: Number(process.argv[2]), host: "127.0.0.1", backlog: 4096 });
