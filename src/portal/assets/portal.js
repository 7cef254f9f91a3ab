// What every page shares: times in the reader's own time zone, calls of the API, event streams.
"use strict";

window.usher = (() => {
  const root = document.documentElement;
  const language = root.lang;
  const token = document.querySelector('meta[name="usher-token"]')?.content;
  const timeOfDay = new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  const day = new Intl.DateTimeFormat(language, { day: "numeric", month: "short" });
  const relative = new Intl.RelativeTimeFormat(language, { numeric: "auto" });

  const clock = (date) => {
    const time = timeOfDay.format(date);
    if (date.toDateString() === new Date().toDateString()) return time;
    return root.dataset.otherDay.replace("{time}", time).replace("{date}", day.format(date));
  };
  const ago = (date) => {
    const seconds = Math.max(0, (Date.now() - date.getTime()) / 1000);
    if (seconds < 10) return root.dataset.justNow;
    const [unit, length] = seconds >= 86400 ? ["day", 86400] : seconds >= 3600 ? ["hour", 3600]
      : seconds >= 60 ? ["minute", 60] : ["second", 1];
    return relative.format(-Math.floor(seconds / length), unit);
  };
  const say = (element, text) => { if (element.textContent !== text) element.textContent = text; };
  const tellTimes = (within = document) => {
    for (const element of within.querySelectorAll("time[data-clock]")) say(element, clock(new Date(element.dateTime)));
    for (const element of within.querySelectorAll("time[data-ago]")) say(element, ago(new Date(element.dateTime)));
  };
  tellTimes();
  setInterval(tellTimes, 5000);

  const call = (path, init = {}) => fetch(path, {
    ...init,
    cache: "no-store",
    headers: { "X-Usher-Token": token, ...init.headers },
  });

  // Reads Server-Sent Events over fetch, because EventSource cannot send the token. Goes on for ever:
  // `lost` is told when a stream breaks off, and the next try waits longer each time, up to 15 s.
  const follow = async (path, heard, lost) => {
    for (let wait = 500; ; wait = Math.min(wait * 2, 15000)) {
      try {
        const answer = await call(path, { headers: { Accept: "text/event-stream" } });
        if (answer.status === 401 || answer.status === 403) return location.reload();
        if (answer.ok) {
          const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
          let text = "";
          for (;;) {
            const { value, done } = await reader.read();
            if (done) break;
            const events = (text + value).split("\n\n");
            text = events.pop();
            for (const event of events) {
              const data = event.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5)).join("\n");
              if (data) { wait = 500; heard(JSON.parse(data)); }
            }
          }
        }
      } catch { /* The network is gone; try again below. */ }
      lost();
      await new Promise((resume) => setTimeout(resume, wait));
    }
  };

  return { call, follow, tellTimes };
})();
