// Clips that arrived, with the centre's verdicts.

import { html, nothing } from "../packages/lit-html/lit-html.js";
import { repeat } from "../packages/lit-html/directives/repeat.js";
import { spanWords } from "./command_list.js";
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

/** Camera, interval and reference as they were asked; of a request that is not at hand as the clip's manifest says. */
function what({ clip_id, report }, asked) {
  const { camera, asked: span, requester } = report?.summary ?? {};
  const params = asked?.params ?? (span ? { camera, from: span.start_us, to: span.end_us } : null);
  return [params ? spanWords(params) : clip_id, asked?.reference ?? requester?.reference].filter(Boolean).join(" · ");
}

/** `commands` are those at hand: a clip bears the id of the command that asked for it. */
export function clipList(clips, commands) {
  if (!clips.length) return empty(t("clips.none"));
  const asked = new Map(commands.map((command) => [command.command_id, command]));
  const sorted = [...clips].sort((a, b) => Date.parse(b.completed_at) - Date.parse(a.completed_at));
  return html`<ul class="clips">${repeat(sorted, (clip) => clip.clip_id, (clip) => html`<li><a class="clip-row" href=${link("units", clip.unit_id, "clips", clip.clip_id)}>
    <span class="clip-what"><b>${what(clip, asked.get(clip.clip_id))}</b><span class="small">${t("clip.arrived", { time: dateTime(clip.completed_at) })}</span></span>${verdictBadge(clip.verdict)}${clip.reason ? html`<span class="small">${clip.reason}</span>` : nothing}</a></li>`)}</ul>`;
}
