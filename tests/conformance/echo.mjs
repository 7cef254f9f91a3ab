// The WebSocket server under test: echoes every message, with permessage-deflate. Usage: node echo.mjs PORT

import { createServer } from "node:http";
import { WebSocketServer } from "ws";

const server = createServer((request, response) => response.end("echo\n"));
// No limits of its own: the cases go up to 16 MiB in a quarter of a million fragments.
const sockets = new WebSocketServer({ server, perMessageDeflate: true, maxPayload: 0, maxFragments: 0, maxBufferedChunks: 0 });
sockets.on("connection", (socket) => {
  socket.on("message", (data, binary) => socket.send(data, { binary }));
  // A case that breaks the protocol ends its connection with an error, which is what it is for.
  socket.on("error", () => {});
});
server.listen(Number(process.argv[2]), "127.0.0.1");
