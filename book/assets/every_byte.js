// Every Byte: the few things that a page does beyond the theme's own scripts.

const root = document.documentElement;
const actions = {
  "window.print": () => window.print(),
  "print-unfolded": printUnfolded,
};
for (const button of document.querySelectorAll("[data-action]")) {
  button.addEventListener("click", () => actions[button.dataset.action]?.());
}

// Paper has what is open on the page, and nothing of a closed fold.
function printUnfolded() {
  const folds = document.querySelectorAll("article details:not([open], .hide)");
  for (const fold of folds) fold.open = true;
  const close = () => folds.forEach((fold) => { fold.open = false; });
  window.addEventListener("afterprint", close, { once: true });
  window.print();
}

// Paper is light.
let theme;
window.addEventListener("beforeprint", () => {
  theme = root.dataset.theme;
  root.dataset.theme = "light";
});
window.addEventListener("afterprint", () => { root.dataset.theme = theme; });

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
