// Keeps the changing part of a page as the console has it, and copies what a button names.
"use strict";
const live = document.querySelector("[data-live]");
if (live) {
  const source = new EventSource(live.dataset.live);
  source.onmessage = (message) => { live.innerHTML = message.data; };
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
