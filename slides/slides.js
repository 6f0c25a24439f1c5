// The deck: reveal.js without effects, equations by the site's MathJax.
"use strict";

window.MathJax = {
  options: { enableMenu: false, ignoreHtmlClass: "reveal", processHtmlClass: "math" },
  svg: { displayAlign: "left" },
};

document.addEventListener("DOMContentLoaded", () => {
  Reveal.initialize({
    width: 1280,
    height: 720,
    margin: 0,
    maxScale: 4,
    center: false,
    display: "flex",
    hash: true,
    transition: "none",
    backgroundTransition: "none",
    slideNumber: "c/t",
    scrollActivationWidth: 0,
    plugins: [RevealNotes], // S opens the speaker's window
    defaultTiming: 0, // shows there whether the talk is on time
  });
});
