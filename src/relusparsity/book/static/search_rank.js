// Sphinx asks this of every hit: chapters come before the pages that list what the library holds.
var Scorer = {
  score: ([docname, title, anchor, descr, score]) => (/^api\//.test(docname) ? score - 1000 : score),
  objNameMatch: 11, // the rest is as Sphinx has it
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};

// A page that was opened from a file cannot read others: no excerpt beside a hit, and no error for each.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
