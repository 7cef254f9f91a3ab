// The sign-in form works without this; it only shows the password and that the form was sent.
"use strict";

{
  const form = document.getElementById("login-form");
  const password = document.getElementById("login-password");
  const show = document.getElementById("login-show");
  show.hidden = false;
  show.addEventListener("click", () => {
    const shown = password.type === "password";
    password.type = shown ? "text" : "password";
    show.setAttribute("aria-pressed", String(shown));
    show.textContent = shown ? show.dataset.hide : show.dataset.show;
    password.focus();
  });
  form.addEventListener("submit", () => {
    password.type = "password";
    const button = form.querySelector('button[type="submit"]');
    button.setAttribute("aria-busy", "true");
    button.textContent = form.dataset.submitting;
  });
}
