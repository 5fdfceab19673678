"use strict";
// The preview follows the form while it is edited; without this, its button does.
const aside = document.querySelector("#preview");
const form = aside.closest(".beside").querySelector("form[method=post][id$=_form]");
let waiting = 0;
let asked = null;

const ask = async () => {
  if (asked) asked.abort();
  const mine = asked = new AbortController();
  aside.classList.add("busy");
  try {
    const answer = await fetch(aside.dataset.source, {
      method: "POST", body: new FormData(form), headers: { "X-Requested-With": "fetch" }, signal: mine.signal,
    });
    if (answer.ok && !answer.redirected) document.querySelector("#previewed").innerHTML = await answer.text();
  } catch { /* another question has overtaken this one, or the gateway is away: what stands there stays */ }
  if (asked === mine) aside.classList.remove("busy");
};
const later = () => { clearTimeout(waiting); waiting = setTimeout(ask, 500); };
form.addEventListener("input", later);
form.addEventListener("change", later);

// Empty fields show what the chosen profile says.
const profile = form.querySelector("[name=profile]");
if (profile) profile.addEventListener("change", () => {
  for (const field of form.querySelectorAll("[data-inherited]")) {
    field.placeholder = JSON.parse(field.dataset.inherited)[profile.value] ?? "";
  }
});
