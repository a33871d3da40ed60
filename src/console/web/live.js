// Keeps what changes of a page as the console has it, copies what a button names, and writes down what a slider points at.
"use strict";
const now = document.querySelector("[data-live]");
if (now) {
  const source = new EventSource(now.dataset.live);
  for (const part of ["now", "events", "charts"]) {
    source.addEventListener(part, (message) => { document.getElementById(part).innerHTML = message.data; });
  }
  source.addEventListener("reload", () => { source.close(); location.reload(); });
  source.addEventListener("gone", () => { source.close(); location.href = "/"; });
}
document.addEventListener("click", (click) => {
  const button = click.target.closest("[data-copy]");
  if (!button) return;
  navigator.clipboard.writeText(button.dataset.copy).then(() => {
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
});
document.addEventListener("input", (input) => {
  const slider = input.target.closest("[data-moment]");
  if (!slider) return;
  const time = new Date(slider.value * 1000).toISOString().replace(".000", "");
  document.getElementById(slider.dataset.moment).value = time;
});
