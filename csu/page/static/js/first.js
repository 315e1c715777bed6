// Before the first paint: the colours that were chosen here before, so that nothing flashes; and the words are asked
// for while the modules are still on their way.
(function before() {
  let kept = {};
  try {
    kept = JSON.parse(localStorage.getItem("csu-page") || "{}") || {};
  } catch {
    kept = {}; // storage is shut off, or holds something else
  }
  document.documentElement.dataset.theme = kept.theme || "auto";
  const wished = [kept.language, ...navigator.languages].map((tag) => String(tag).slice(0, 2).toLowerCase());
  const language = wished.find((tag) => tag === "en" || tag === "fr") || "en";
  const href = document.currentScript.src.replace("/js/first.js", `/words/${language}.json`);
  document.head.append(Object.assign(document.createElement("link"), { rel: "preload", as: "fetch", crossOrigin: "anonymous", href }));
})();
