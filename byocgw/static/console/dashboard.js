"use strict";
// Fetches the dashboard again every 15 seconds; rests while nobody looks, and ends when the session has.
const dashboard = document.querySelector("#dashboard");
const refresh = async () => {
  if (document.hidden || dashboard.contains(document.activeElement)) return;
  try {
    const answer = await fetch(dashboard.dataset.source, { headers: { "X-Requested-With": "fetch" } });
    if (answer.redirected || answer.status === 403) clearInterval(timer);
    else if (answer.ok) dashboard.innerHTML = await answer.text();
  } catch { /* away for a moment: the next turn asks again */ }
};
const timer = setInterval(refresh, 15000);
document.addEventListener("visibilitychange", refresh);
