// Whether this browser passes over the edit list of a clip, as Firefox does: it then shows what lies between the key
// frame and the first picture of a part, and counts from there. Neither of it is told to a page, so a small clip is tried.

const WAIT_MS = 10_000;
/** White in the first picture that is to be shown, black in all before; `tests/support/preroll_probe.py` made it so. */
const [X, Y] = [88, 48];

let asked = null;

/** Promises true where what lies before a part's start is shown. */
export function showsPreroll() {
  asked ??= ask();
  return asked;
}

function ask() {
  const video = Object.assign(document.createElement("video"), { muted: true, preload: "auto" });
  return new Promise((resolve) => {
    setTimeout(() => resolve(false), WAIT_MS);
    video.addEventListener("error", () => resolve(false));
    video.addEventListener("loadeddata", () => resolve(isBlack(video)));
    video.src = new URL("../preroll.mp4", import.meta.url).href;
  });
}

function isBlack(video) {
  const draw = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d");
  draw.drawImage(video, -X, -Y);
  const [, green, , opacity] = draw.getImageData(0, 0, 1, 1).data;
  return opacity > 0 && green < 128;
}
