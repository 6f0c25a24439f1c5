// The article, checked: show the claims on one subject, with one verdict, or both.
// The choice is in the address, after the #; any other fragment shows all claims.

const filter = document.querySelector("#claims-filter");
const choices = [...filter.querySelectorAll("select")];
const claims = [...document.querySelectorAll(".claims li")];

function show() {
  const matches = (claim) =>
    choices.every(({ name, value }) => !value || claim.dataset[name] === value);
  for (const claim of claims) claim.hidden = !matches(claim);
  for (const part of document.querySelectorAll(".claims section")) {
    part.hidden = !part.querySelector("li:not([hidden])");
  }
  const count = claims.filter((claim) => !claim.hidden).length;
  filter.querySelector("output").value = `${count} of ${claims.length} claims`;
}

function readAddress() {
  const chosen = new URLSearchParams(location.hash.slice(1));
  for (const choice of choices) {
    choice.value = chosen.get(choice.name) ?? "";
    if (choice.selectedIndex < 0) choice.value = "";
  }
  show();
  document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

function writeAddress() {
  const chosen = choices.filter(({ value }) => value);
  const pairs = chosen.map(({ name, value }) => `${name}=${value}`);
  history.replaceState(null, "", `#${pairs.join("&")}`);
}

filter.addEventListener("change", () => {
  writeAddress();
  show();
});
filter.addEventListener("submit", (event) => event.preventDefault());
window.addEventListener("hashchange", readAddress);
filter.hidden = false;
readAddress();
