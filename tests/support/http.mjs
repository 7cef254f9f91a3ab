// A small HTTPS client that trusts a test gateway's authority, and what is done with it: sign in, start a workspace.

import { request } from "node:https";
import { eventually } from "./waiting.mjs";

/** What a browser sends when a person opens an address. */
const NAVIGATION = {
  accept: "text/html",
  "sec-fetch-dest": "document",
  "sec-fetch-mode": "navigate",
  "sec-fetch-site": "none",
  "sec-fetch-user": "?1",
};

/** Sends one request on a connection of its own; resolves to status, headers and text. */
export function send(gateway, path, { method = "GET", headers = {}, body } = {}) {
  return new Promise((resolve, reject) => {
    const url = new URL(path, gateway.url);
    const sent = request(url, { method, headers, ca: gateway.authority, agent: false }, (answer) => {
      const chunks = [];
      answer.on("data", (chunk) => chunks.push(chunk));
      answer.on("end", () =>
        resolve({ status: answer.statusCode, headers: answer.headers, text: Buffer.concat(chunks).toString("utf8") }),
      );
      answer.on("error", reject);
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

/** Signs a user in as a browser without scripts does, and returns the session's `Cookie` header. */
export async function signIn(gateway, user) {
  const jar = new Map();
  const navigate = async (path, options = {}) => {
    const answer = await send(gateway, path, { ...options, headers: { ...NAVIGATION, cookie: cookies(jar), ...options.headers } });
    for (const line of answer.headers["set-cookie"] ?? []) {
      const [name, value] = line.split(";", 1)[0].split(/=(.*)/s);
      jar.set(name.trim(), value);
    }
    return answer;
  };

  let path = "/";
  let page = await navigate(path);
  while (page.status >= 300 && page.status < 400) {
    path = page.headers.location;
    page = await navigate(path);
  }
  const form = loginForm(page.text);
  const answer = await navigate(new URL(form.action || path, gateway.url + path).pathname, {
    method: "POST",
    headers: {
      "content-type": "application/x-www-form-urlencoded",
      origin: gateway.url,
      "sec-fetch-site": "same-origin",
    },
    body: new URLSearchParams({ ...form.hidden, user: user.name, password: user.password }).toString(),
  });
  if (!jar.has("__Host-usher")) throw new Error(`${user.name} could not sign in: ${answer.status}\n${answer.text}`);
  return `__Host-usher=${jar.get("__Host-usher")}`;
}

/** Opens a route until its workspace answers. */
export async function openWorkspace(gateway, cookie, path, { within = 60_000 } = {}) {
  await send(gateway, path, { headers: { ...NAVIGATION, cookie } });
  await eventually(`${path} answers`, async () => (await send(gateway, path, { headers: { cookie } })).status === 200, {
    within,
    every: 200,
  });
}

function cookies(jar) {
  return [...jar].map(([name, value]) => `${name}=${value}`).join("; ");
}

/** The action and the hidden fields of the form that asks for a password. */
function loginForm(html) {
  const form = html.split(/<form\b/i).slice(1).find((part) => /name="?password/i.test(part));
  if (!form) throw new Error(`no sign-in form in:\n${html}`);
  const attribute = (tag, name) => decode(tag.match(new RegExp(`\\b${name}="([^"]*)"`, "i"))?.[1] ?? "");
  const hidden = [...form.matchAll(/<input\b[^>]*type="hidden"[^>]*>/gi)].map(([tag]) => [
    attribute(tag, "name"),
    attribute(tag, "value"),
  ]);
  return { action: attribute(form.slice(0, form.indexOf(">")), "action"), hidden: Object.fromEntries(hidden) };
}

function decode(text) {
  return text
    .replaceAll("&#x2f;", "/")
    .replaceAll("&#38;", "&")
    .replaceAll("&#34;", '"')
    .replaceAll("&#39;", "'")
    .replaceAll("&quot;", '"')
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
    .replaceAll("&amp;", "&");
}
