// What a screen reader is told without being asked: units that fell into trouble, a few seconds' worth at a time.

import { t } from "./words.js";

const PAUSE_MS = 4000;
const LOUD = new Set(["trouble", "lost"]);
const fallen = new Map();
let timer = 0;

/** Notes a unit that has just fallen into trouble or out of hearing. */
export function announceTroubles(before, after) {
  if (!before || before.standing === after.standing || !LOUD.has(after.standing)) return;
  fallen.set(after.unit_id, after.standing);
  timer ||= setTimeout(tell, PAUSE_MS);
}

function tell() {
  timer = 0;
  const names = [...fallen.keys()];
  fallen.clear();
  say(t("announce.trouble", { count: names.length, names: names.slice(0, 5).join(", ") }));
}

/** Has a sentence read out politely. */
export function say(words) {
  const region = document.getElementById("announcer");
  if (region) region.textContent = words;
}
