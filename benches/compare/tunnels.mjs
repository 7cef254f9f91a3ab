// A process of its own that opens TLS WebSockets and holds them. Told over IPC:
//   { open: count }  opens that many          -> { opened }
//   { exchange: true } sends a message on each and waits for the answer -> { exchanged }
// What it is started with: one JSON argument { port, path, origin, cookie }.

import { connect } from "node:tls";
import { MESSAGE, header } from "./frame.mjs";

const { port, path, origin, cookie } = JSON.parse(process.argv[2]);
/** How many handshakes or exchanges are under way at once. */
const AT_ONCE = 100;
/** For one of them; milliseconds. */
const PATIENCE = 60_000;

const message = Buffer.concat([header(MESSAGE, true), Buffer.alloc(MESSAGE, "x")]);
const answerLength = header(MESSAGE, false).length + MESSAGE;
const sockets = [];

function open() {
  return bounded((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1", servername: "localhost", rejectUnauthorized: false });
    socket.setNoDelay(true);
    socket.on("error", reject);
    socket.on("close", () => reject(new Error("closed")));
    socket.on("secureConnect", () =>
      socket.write(
        `GET ${path} HTTP/1.1\r\nHost: ${new URL(origin).host}\r\nOrigin: ${origin}\r\nCookie: ${cookie}\r\n` +
          "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
      ),
    );
    socket.once("data", (head) => {
      if (!head.toString("latin1").startsWith("HTTP/1.1 101")) return reject(new Error(head.toString("latin1")));
      sockets.push(socket);
      resolve();
    });
  });
}

function exchange(socket) {
  return bounded((resolve) => {
    let seen = 0;
    socket.on("data", function count(chunk) {
      seen += chunk.length;
      if (seen < answerLength) return;
      socket.off("data", count);
      resolve();
    });
    socket.write(message);
  });
}

function bounded(work) {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`not within ${PATIENCE} ms`)), PATIENCE);
    work(
      (value) => {
        clearTimeout(late);
        resolve(value);
      },
      (error) => {
        clearTimeout(late);
        reject(error);
      },
    );
  });
}

/** Runs `jobs` with a bounded number of them under way. */
async function all(jobs) {
  const queue = jobs.values();
  const worker = async () => {
    for (const job of queue) await job();
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

process.on("message", async (order) => {
  try {
    if (order.open) {
      await all(Array.from({ length: order.open }, () => open));
      process.send({ opened: sockets.length });
    } else if (order.exchange) {
      await all(sockets.map((socket) => () => exchange(socket)));
      process.send({ exchanged: sockets.length });
    }
  } catch (error) {
    process.send({ error: error.message });
  }
});
process.on("disconnect", () => process.exit(0));
