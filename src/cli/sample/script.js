"use strict";

const at = (id) => document.getElementById(id);

async function showWhoIsThere() {
  const answer = await fetch("who", { cache: "no-store" });
  if (!answer.ok) return;
  const who = await answer.json();
  at("user").textContent = who.user ?? "nobody";
  at("tenant").textContent = who.tenant ?? "none";
  at("groups").textContent = who.groups.join(", ") || "none";
  at("started").textContent = new Date(who.started_millis).toLocaleString();
  at("process").textContent = who.process;
  at("home").textContent = who.home ?? "none";
}

function print(line) {
  const log = at("log");
  log.textContent += line + "\n";
  log.scrollTop = log.scrollHeight;
}

let socket;
let wait = 1000;

function connect() {
  socket = new WebSocket(new URL("console", location.href.replace(/^http/, "ws")));
  socket.addEventListener("open", () => {
    wait = 1000;
    at("state").textContent = "Connected";
    showWhoIsThere();
  });
  socket.addEventListener("message", (message) => print(message.data));
  socket.addEventListener("close", (end) => {
    at("state").textContent = end.reason ? `Disconnected: ${end.reason}` : "Disconnected";
    setTimeout(connect, wait);
    wait = Math.min(wait * 2, 10000);
  });
}

at("say").addEventListener("submit", (event) => {
  event.preventDefault();
  const line = at("line").value;
  if (!line || socket.readyState !== WebSocket.OPEN) return;
  print("> " + line);
  socket.send(line);
  at("line").value = "";
});

connect();
