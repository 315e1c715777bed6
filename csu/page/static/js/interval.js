// An interval that a person writes in the centre's local time, and what has to be asked back.

import { clockTime } from "./format.js";
import { changeNear, instantsOf, offsetName } from "./zone.js";
import { t } from "./words.js";

const MAX_CLIP_MS = 24 * 3_600_000;
const MAX_FUTURE_MS = 60_000;

/** One end: the instant, or the problem, and the two hours to choose from where the local time comes twice. */
export function readEnd(local, choice, zone) {
  if (!local) return { problem: t("request.time.missing") };
  const instants = instantsOf(local.length === 16 ? `${local}:00` : local, zone);
  if (!instants.length) {
    const change = changeNear(local, zone);
    return { problem: t("request.time.skipped", { before: clockTime(change - 1000), after: clockTime(change) }) };
  }
  if (instants.length === 1) return { instant: instants[0] };
  const choices = instants.map((instant, index) => ({ index, instant, words: t(`request.time.choice.${index}`, { offset: offsetName(instant, zone) }) }));
  if (choice === null) return { choices, problem: t("request.time.twice") };
  return { choices, instant: instants[choice] };
}

/** Problems of both ends together: by field. */
export function intervalProblems(from, to, nowMs) {
  const found = {};
  if (from.problem) found.from = from.problem;
  if (to.problem) found.to = to.problem;
  if (from.problem || to.problem) return found;
  if (to.instant <= from.instant) found.to = t("request.time.order");
  else if (to.instant - from.instant > MAX_CLIP_MS) found.to = t("request.time.long");
  else if (to.instant > nowMs + MAX_FUTURE_MS) found.to = t("request.time.future");
  return found;
}
