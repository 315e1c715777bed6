// Clips that arrived, with the centre's verdicts.

import { html, nothing } from "../packages/lit-html/lit-html.js";
import { repeat } from "../packages/lit-html/directives/repeat.js";
import { dateTime } from "./format.js";
import { sign } from "./icons.js";
import { empty } from "./parts.js";
import { link } from "./router.js";
import { coded, t } from "./words.js";

const STANDING = { verified: "ok", failed: "trouble", pending: "busy" };

/** Sign and words of a verdict. */
export function verdictBadge(verdict) {
  const standing = STANDING[verdict] ?? "unheard";
  return html`<span class="badge" data-standing=${standing}>${standing === "busy" ? html`<span class="busy-dot" aria-hidden="true"></span>` : sign(standing)}<span>${coded("verdict", verdict)}</span></span>`;
}

export function clipList(clips) {
  if (!clips.length) return empty(t("clips.none"));
  const sorted = [...clips].sort((a, b) => Date.parse(b.completed_at) - Date.parse(a.completed_at));
  return html`<ul class="clips">${repeat(sorted, (clip) => clip.clip_id, (clip) => html`<li><a class="clip-row" href=${link("units", clip.unit_id, "clips", clip.clip_id)}>
    <span>${t("clip.arrived", { time: dateTime(clip.completed_at) })}</span>${verdictBadge(clip.verdict)}${clip.reason ? html`<span class="small">${clip.reason}</span>` : nothing}</a></li>`)}</ul>`;
}
