"use strict";
// Comfort only: everything works without it.

// In the narrow layout each cell shows the name of its column.
for (const table of document.querySelectorAll("#result_list")) {
  const names = [...table.tHead.rows[0].cells].map((cell) => (cell.querySelector(".text") ?? cell).innerText.trim());
  for (const row of table.tBodies[0].rows) {
    [...row.cells].forEach((cell, place) => { if (names[place]) cell.dataset.label = names[place]; });
  }
}

// "/" goes to the search of this list, else to the one of the whole console.
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (document.activeElement.matches("input, textarea, select, [contenteditable]")) return;
  const field = document.querySelector("#searchbar") || document.querySelector("#jump");
  if (field) { event.preventDefault(); field.focus(); field.select(); }
});

// The account's menu closes at Escape and at a click elsewhere.
const account = document.querySelector("details.account");
if (account) {
  document.addEventListener("click", (event) => { if (!account.contains(event.target)) account.open = false; });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && account.open) { account.open = false; account.querySelector("summary").focus(); }
  });
}
