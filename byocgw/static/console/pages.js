"use strict";
// Comfort only: everything works without it. A button beside what is worth copying.
for (const source of navigator.clipboard ? document.querySelectorAll("[data-copy]") : []) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = source.dataset.copy;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(source.textContent.trim());
    button.textContent = "✓";
    setTimeout(() => { button.textContent = source.dataset.copy; }, 1500);
  });
  source.after(button);
}

// Whoever chooses another capability or key sees at once what that changes.
for (const form of document.querySelectorAll("form[data-choose]")) {
  form.addEventListener("change", () => form.requestSubmit());
}
