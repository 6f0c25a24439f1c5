// How search results are ranked. Sphinx puts this file before its own search. A name of
// the API that was typed in full comes first; other matches of the API and the status page
// come after the chapters that explain them. Of equal pages the earlier chapter is first.
var Scorer = {
  score: ([page, , , description, points]) => {
    const isName = description !== null && points >= Scorer.objNameMatch;
    if (/^book\/(api|status)$/.test(page)) return isName ? points : points / 20;
    return points - Number(/\/(\d+)_/.exec(page)?.[1] ?? 99) / 1000;
  },
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: {},
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
