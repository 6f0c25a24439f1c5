// This page was moved: lead on at once, with what the address says after "#".
const { href } = document.querySelector("main a");
location.replace(href + location.hash);
