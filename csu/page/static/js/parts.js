// Small pieces that several views show.

import { html, nothing } from "../packages/lit-html/lit-html.js";
import { duration, nearTime, zonedTime } from "./format.js";
import { icon, sign } from "./icons.js";
import { RANK, isCurrent, now } from "./store.js";
import { coded, has, t } from "./words.js";

/** What a unit's standing is shown as: nothing stays green that was not heard. */
export function shownStanding(unit) {
  if (!isCurrent()) return "stale";
  return RANK.includes(unit.standing) ? unit.standing : "unheard";
}

export function standingWords(unit) {
  const known = coded("standing", unit.standing);
  return isCurrent() ? known : t("standing.stale", { last: known });
}

/** Sign and words of a unit's standing. */
export function standingBadge(unit) {
  const standing = shownStanding(unit);
  return html`<span class="badge" data-standing=${standing}>${sign(standing)}<span>${standingWords(unit)}</span></span>`;
}

/** How long ago, and exactly when. */
export function heard(instant) {
  if (!instant) return html`<span class="heard">${t("heard.never")}</span>`;
  return html`<span class="heard"><time-ago at=${instant}></time-ago> <time class="exact" datetime=${instant} title=${zonedTime(instant)}>${nearTime(instant, now())}</time></span>`;
}

const EARLIEST_MS = Date.UTC(2020);
const AHEAD_MS = 60_000;

/** When a unit said something: by its own clock where that can be right, else when it was heard. */
export function saidAt({ body, heard_at: heardAt }) {
  const at = Date.parse(body?.at ?? "");
  return at >= EARLIEST_MS && at <= Date.parse(heardAt) + AHEAD_MS ? body.at : heardAt;
}

/** Values of a reason's or an alarm's details, as words can hold them. */
function detailValues(details) {
  const values = {};
  for (const [name, value] of Object.entries(details ?? {})) {
    if (name.endsWith("_s") && typeof value === "number") values[name] = duration(value);
    else if (["string", "number", "boolean"].includes(typeof value)) values[name] = String(value);
  }
  return values;
}

export const figureName = (name) => (has(`figure.${name}`) ? t(`figure.${name}`) : name.replaceAll("_", " "));

/** A cause of the contract in words. */
export function causeWords(cause) {
  return cause && typeof cause === "string" ? coded("cause", cause) : t("cause.unknown");
}

/** Why a unit does not stand well, in words. */
export function reasonWords(reason) {
  const details = reason.details ?? {};
  const words = codeWords(reason.code, details);
  const camera = reason.camera ? t("reason.camera", { camera: reason.camera, words }) : words;
  return details.cause ? t("reason.cause", { words: camera, cause: causeWords(details.cause) }) : camera;
}

/** A reason that points at a probe or an alarm says which. */
function codeWords(code, details) {
  if (typeof details.name === "string" && code.startsWith("alarm-")) return coded("reason", details.name, detailValues(details));
  const words = coded("reason", code, detailValues(details));
  if (typeof details.probe !== "string") return words;
  const of = t("reason.with", { words: coded("probe", details.probe), what: words });
  const figures = Array.isArray(details.figures) ? details.figures.map((name) => figureName(String(name))) : [];
  return figures.length ? t("reason.figures", { words: of, figures: figures.join(", ") }) : of;
}

export function alarmWords(alarm) {
  return coded("reason", alarm.name, detailValues(alarm.details));
}

export function since(instant) {
  return instant ? html`<span class="since">${t("since")} <time datetime=${instant} title=${zonedTime(instant)}>${nearTime(instant, now())}</time></span>` : nothing;
}

/** Whether cameras record, in one line: those that do not are named. */
export function cameraWords(unit) {
  const cameras = unit.cameras ?? [];
  if (!cameras.length) return t("cameras.unknown");
  const groups = { false: [], unknown: [], true: [] };
  for (const camera of cameras) groups[camera.recording ?? "unknown"]?.push(camera.name);
  const bad = [];
  if (groups.false.length) bad.push(t("cameras.stopped", { names: groups.false.join(", ") }));
  if (groups.unknown.length) bad.push(t("cameras.unsure", { names: groups.unknown.join(", ") }));
  if (bad.length) return bad.join(" · ");
  return t(isCurrent() && unit.standing !== "lost" ? "cameras.record" : "cameras.recorded", { count: cameras.length });
}

/** The level of alarm, as a sign beside its words. */
export function severityBadge(severity) {
  const standing = severity === "critical" ? "trouble" : "warning";
  return html`<span class="badge" data-standing=${standing}>${sign(standing)}<span>${coded("severity", severity)}</span></span>`;
}

const PROBE_STANDING = { ok: "ok", warning: "warning", critical: "trouble", unknown: "unheard" };

/** Sign and words of a probe's state. */
export function probeBadge(probeState) {
  const known = Object.hasOwn(PROBE_STANDING, probeState) ? probeState : "unknown";
  const standing = isCurrent() ? PROBE_STANDING[known] : "stale";
  const words = coded("probe.state", known);
  return html`<span class="badge" data-standing=${standing}>${sign(standing)}<span>${isCurrent() ? words : t("standing.stale", { last: words })}</span></span>`;
}

/** A failed request, where its answer would stand. */
export function failureNote(error, retry) {
  const known = has(`error.${error.code}`);
  return html`<div class="note note-trouble">${sign("trouble")}<div><p>${known ? t(`error.${error.code}`) : t("error.other")}</p>
    <p class="small">${error.message}</p>${retry ? html`<button type="button" class="button" @click=${retry}>${t("action.retry")}</button>` : nothing}</div></div>`;
}

/** While an answer is awaited. */
export function waiting() {
  return html`<p class="waiting">${t("waiting")}</p>`;
}

export function empty(words) {
  return html`<p class="empty">${words}</p>`;
}

/** The head of a view: where it leads back to, its title, what can be done. */
export function viewHead(title, { back, backWords, actions = nothing, beside = nothing } = {}) {
  return html`<header class="view-head">
    ${back ? html`<a class="back" href=${back}>${icon("back")}<span>${backWords}</span></a>` : nothing}
    <div class="view-title"><h1 tabindex="-1">${title}</h1>${beside}</div>
    <div class="view-actions">${actions}</div>
  </header>`;
}
