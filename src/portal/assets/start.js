// Shows a start as it goes on, and goes on to the workspace when it is up.
"use strict";

{
  const { call, follow, tellTimes } = window.usher;
  const start = document.getElementById("start");
  const lost = document.getElementById("live-lost");
  const announce = document.getElementById("announce");
  const { kind, target, watch } = start.dataset;
  const up = (phase) => phase === "running" || phase === "idle";
  let gone = false;
  // Elapsed time is the server's; from there on the page counts by itself, whatever its own clock shows.
  let began = 0;

  const go = () => {
    if (gone) return;
    gone = true;
    location.replace(target);
  };
  let stepBegan = 0;
  const begin = () => {
    const bar = start.querySelector("progress");
    const step = start.querySelector("[data-elapsed]");
    if (bar) began = performance.now() - bar.value;
    if (step) stepBegan = performance.now() - Number(step.dataset.elapsed);
  };
  const progress = () => {
    const step = start.querySelector("[data-elapsed]");
    const seconds = (performance.now() - stepBegan) / 1000;
    if (step && seconds < 60) step.textContent = `${seconds.toFixed(1)} s`;
    const bar = start.querySelector("progress");
    if (!bar) return;
    const elapsed = performance.now() - began;
    // The last twentieth is kept for the moment when it is really ready.
    bar.value = Math.min(elapsed, bar.max * 0.95);
    const said = document.getElementById("expectation");
    if (said && elapsed > bar.max * 1.5) said.textContent = said.dataset.longer;
  };
  // Screen readers hear each step once, and each change of the whole.
  const tellState = (same) => {
    const parts = same ? ["[aria-current] .step-name"] : ["h1", ".lead", "[aria-current] .step-name"];
    const said = parts.map((part) => start.querySelector(part)?.textContent).filter(Boolean).join(" ");
    if (announce.textContent !== said) announce.textContent = said;
  };
  const update = ({ phase, html }) => {
    const before = start.dataset.phase;
    start.dataset.phase = phase;
    lost.hidden = true;
    const focused = start.contains(document.activeElement);
    start.innerHTML = html;
    if (focused) start.querySelector("a, button, summary")?.focus();
    tellTimes(start);
    tellState(phase === before);
    begin();
    progress();
    // Where the page was up to date when it came, whoever sent it here disagrees: no hot loop.
    if (up(phase)) setTimeout(go, up(before) ? 1000 : 0);
  };
  // A proxy that keeps streams back shows nothing: then the state is asked for. The page is not loaded again from
  // where it is: there, looking at a stopped workspace starts it.
  const poll = async () => {
    if (gone) return;
    try {
      const answer = await call(`/.usher/api/v1/workspaces/${kind}`);
      if (answer.ok) {
        const { phase } = await answer.json();
        if (up(phase)) go();
        else if (phase !== start.dataset.phase) location.replace(watch);
      }
    } catch { /* The stream tells that the connection is lost. */ }
  };

  begin();
  if ("live" in start.dataset) {
    let heard = false;
    follow(`/.usher/events/${kind}?target=${encodeURIComponent(target)}`, (event) => { heard = true; update(event); }, () => { heard = false; lost.hidden = gone; });
    setInterval(() => { if (!heard) poll(); }, 3000);
    setInterval(progress, 200);
  }
}
