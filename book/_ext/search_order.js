// Part of Sphinx's language_data.js: queries are folded as the index was, then results are ordered.
var vaeStemmer = Stemmer;
Stemmer = function () {
  var stemmer = new vaeStemmer();
  this.stemWord = function (word) {
    vaeFolds.forEach(function (fold) {
      word = word.replace(new RegExp(fold[0]), fold[1]);
    });
    return stemmer.stemWord(word);
  };
};

// How many words of the query stand in a chapter's title, in whichever spelling.
var vaeTitles = { elbo: "evidence" };
function vaeShared(title) {
  var stemmer = new Stemmer();
  var stems = function (text) {
    return (text.toLowerCase().match(/[a-z]+/g) || []).map(function (word) {
      return stemmer.stemWord(vaeTitles[word] || word);
    });
  };
  var asked = new Set(stems(new URLSearchParams(location.search).get("q") || ""));
  return new Set(stems(title).filter(function (stem) {
    return asked.has(stem) && stem !== "vae" && stopwords.indexOf(stem) === -1;
  })).size;
}

function vaeQuestion() {
  var query = new URLSearchParams(location.search).get("q") || "";
  return /\b(why|how|what|should|can|nan|wrong|negative)\b|\?/i.test(query);
}

var Scorer = {
  // A result is [page, title, anchor, description, score, file].
  score: function (result) {
    var page = result[0];
    // The page of questions comes first for a question, else after the chapters.
    if (page === "book/symptoms") return result[4] + (vaeQuestion() ? 250 : 180);
    if (/^notebooks\/\d\d_/.test(page)) return result[4] + 200 + 20 * vaeShared(result[1]);
    if (page === "book/glossary") return result[4] + 150;
    if (/^book\/api\//.test(page)) return result[4] - 200;
    return result[4];
  },
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
