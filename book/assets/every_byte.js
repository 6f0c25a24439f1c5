// Every Byte: the few things that a page does beyond the theme's own scripts.

const actions = {
  "window.print": () => window.print(),
};
for (const button of document.querySelectorAll("[data-action]")) {
  button.addEventListener("click", () => actions[button.dataset.action]?.());
}

// Paper has no folds: open them for printing, close those that were closed after it.
let opened = [];
window.addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("article details:not([open])")];
  for (const fold of opened) fold.open = true;
});
window.addEventListener("afterprint", () => {
  for (const fold of opened) fold.open = false;
});

// A link to something inside a fold opens the fold.
function reveal() {
  let id;
  try {
    id = decodeURIComponent(location.hash.slice(1));
  } catch {
    return; // no address of ours
  }
  for (let fold = document.getElementById(id); fold; fold = fold.parentElement) {
    if (fold.tagName === "DETAILS") fold.open = true;
  }
}
window.addEventListener("hashchange", reveal);
reveal();

// Boxes that scroll sideways must be reachable by keyboard; the theme sees to the rest.
function makeFocusable() {
  for (const box of document.querySelectorAll("div.math, .text_html, mjx-container")) {
    const scrolls = box.scrollWidth > box.clientWidth + 1;
    if (scrolls) box.tabIndex = 0;
    else if (box.tabIndex === 0) box.removeAttribute("tabindex");
  }
}
window.addEventListener("load", async () => {
  await window.MathJax?.startup?.promise;
  makeFocusable();
  window.addEventListener("resize", makeFocusable);
});
