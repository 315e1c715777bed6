// Before the first paint: the colours that were chosen here before, so that nothing flashes.
(function chooseColours() {
  let chosen = "auto";
  try {
    chosen = JSON.parse(localStorage.getItem("csu-page") || "{}").theme || "auto";
  } catch {
    chosen = "auto"; // storage is shut off, or holds something else
  }
  document.documentElement.dataset.theme = chosen;
})();
