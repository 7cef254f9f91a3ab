// Cards that follow their workspaces, and buttons that do not reload the page.
"use strict";

{
  const { call, follow, tellTimes } = window.usher;
  const cards = document.getElementById("cards");
  const failed = document.getElementById("action-failed");
  const lost = document.getElementById("live-lost");
  const announce = document.getElementById("announce");

  // Puts a new body into a card and keeps what its reader was doing: focus, open menus, a chosen size.
  const update = ({ kind, phase, html }) => {
    const card = document.getElementById(`card-${kind}`);
    if (!card) return;
    const focus = card.contains(document.activeElement) ? document.activeElement.id : "";
    const open = card.querySelector("details[open]")?.id;
    if (open && card.dataset.phase === phase) return;
    const size = card.querySelector('input[name="profile"]:checked')?.id;
    card.innerHTML = html;
    tellTimes(card);
    const choice = size && document.getElementById(size);
    if (choice) choice.checked = true;
    if (focus) (document.getElementById(focus) ?? card.querySelector(".card-actions :is(a, button)"))?.focus();
    if (card.dataset.phase !== phase) {
      card.dataset.phase = phase;
      announce.textContent = `${card.dataset.name}: ${card.querySelector(".pill").textContent}`;
    }
  };

  const act = async (form, button) => {
    const body = Object.fromEntries(new FormData(form, button));
    delete body.token;
    if ("seconds" in body) body.seconds = Number(body.seconds);
    button.setAttribute("aria-busy", "true");
    failed.hidden = true;
    try {
      const answer = await call(`/.usher/api/v1/workspaces/${form.dataset.kind}/${form.dataset.action}`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(body),
      });
      if (!answer.ok) throw answer;
      form.closest("details")?.removeAttribute("open");
    } catch (problem) {
      const said = problem instanceof Response ? await problem.json().catch(() => ({})) : {};
      failed.textContent = said.detail ?? failed.dataset.text;
      failed.hidden = false;
    }
    button.removeAttribute("aria-busy");
  };

  failed.dataset.text = failed.textContent;
  if (cards) {
    cards.addEventListener("submit", (event) => {
      const { target: form, submitter } = event;
      if (!form.dataset.action || submitter.name === "then") return;
      event.preventDefault();
      act(form, submitter);
    });
    // One menu at a time; Escape and a click elsewhere close it.
    const close = (except) => {
      for (const menu of cards.querySelectorAll("details.menu[open]")) if (menu !== except) menu.open = false;
    };
    document.addEventListener("click", (event) => close(event.target.closest("details.menu")));
    document.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      const menu = document.activeElement.closest("details.menu[open]");
      close();
      menu?.querySelector("summary").focus();
    });
    follow("/.usher/events", (event) => { lost.hidden = true; update(event); }, () => { lost.hidden = false; });
  }
}
