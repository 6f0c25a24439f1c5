// How search results are ranked: a name of the API or a row of the status page comes
// after the chapters that explain it. Sphinx puts this file before its own search.
var Scorer = {
  score: ([page, , , , points]) =>
    /^book\/(api|status)$/.test(page) ? points / 20 : points,
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
