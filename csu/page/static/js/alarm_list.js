// Alarms as a list, each with what can be done about it.

import { html, nothing } from "../packages/lit-html/lit-html.js";
import { repeat } from "../packages/lit-html/directives/repeat.js";
import { at, get, post } from "./api.js";
import { dialogActions, openDialog } from "./dialogs.js";
import { causeWords, alarmWords, empty, heard, severityBadge, since } from "./parts.js";
import { nearTime } from "./format.js";
import { link } from "./router.js";
import { keep, settings } from "./settings.js";
import { now } from "./store.js";
import { coded, t } from "./words.js";

const MOST_OPEN = 1000;
const MOST = 1500;

/** Open alarms, and the newest closed ones, of one unit or of all. */
export async function allAlarms(unitId, limit) {
  const query = unitId ? { unit_id: unitId } : {};
  const [open, closed] = await Promise.all([get("/v1/alarms", { ...query, limit: MOST_OPEN, open: true }), get("/v1/alarms", { ...query, limit, open: false })]);
  const found = new Map([...open.items, ...closed.items].map((alarm) => [alarm.alarm_id, alarm]));
  return [...found.values()];
}

const weight = (alarm) => (alarm.cleared_at ? 0 : 2) + (alarm.acknowledged_at ? 0 : 1);

/** A list with a newer record in it; of one that has grown long, what matters least goes, the oldest first. */
export function takeAlarm(list, alarm, most = MOST) {
  const index = list.findIndex((one) => one.alarm_id === alarm.alarm_id);
  if (index >= 0) return list.with(index, alarm);
  const longer = [alarm, ...list];
  if (longer.length <= most) return longer;
  const least = Math.min(...longer.map(weight));
  return longer.toSpliced(longer.findLastIndex((one) => weight(one) === least), 1);
}

/** Which of the three lists an alarm belongs to. */
export function stageOf(alarm) {
  if (!alarm.acknowledged_at) return "waiting";
  return alarm.cleared_at ? "closed" : "acknowledged";
}

/** Whether an alarm comes from the centre itself and not from one of its units. */
const isOfCentre = (alarm) => alarm.unit_id.startsWith("@");

export function alarmList(alarms, { named, none, taken }) {
  if (!alarms.length) return empty(none);
  return html`<ul class="alarms">${repeat(alarms, (alarm) => alarm.alarm_id, (alarm) => entry(alarm, named, taken))}</ul>`;
}

function entry(alarm, named, taken) {
  const who = isOfCentre(alarm) ? html`<b>${t("alarm.centre")}</b>` : html`<a href=${link("units", alarm.unit_id)}>${alarm.unit_id}</a>`;
  const detail = alarm.details?.detail ?? alarm.details?.reason;
  return html`<li class="alarm" data-stage=${stageOf(alarm)} data-severity=${alarm.severity}>
    <div class="alarm-head">${severityBadge(alarm.severity)}${named ? who : nothing}<b class="alarm-words">${alarmWords(alarm)}</b></div>
    ${alarm.camera || alarm.details?.cause ? html`<span class="fact">${[alarm.camera ? t("alarm.camera", { camera: alarm.camera }) : "", alarm.details?.cause ? causeWords(alarm.details.cause) : ""].filter(Boolean).join(" – ")}</span>` : nothing}
    ${typeof detail === "string" ? html`<span class="small">${detail}</span>` : nothing}
    <div class="alarm-times">${alarm.cleared_at ? html`<span>${t("alarm.over", { from: nearTime(alarm.raised_at, now()), to: nearTime(alarm.cleared_at, now()) })}</span>` : html`<span>${t("alarm.raised")} ${heard(alarm.raised_at)}</span>`}
      ${alarm.acknowledged_at ? html`<span>${t("alarm.by", { name: alarm.acknowledged_by ?? "" })} ${since(alarm.acknowledged_at)}${alarm.note ? html` – ${alarm.note}` : nothing}</span>` : nothing}</div>
    ${alarm.acknowledged_at ? nothing : html`<button type="button" class="button button-small" aria-label=${t("alarm.acknowledge.this", { alarm: alarmWords(alarm), unit: alarm.unit_id })} @click=${() => acknowledge(alarm, taken)}>${t("alarm.acknowledge")}</button>`}</li>`;
}

/** Asks who acknowledges, and what is to be noted. */
async function acknowledge(alarm, taken) {
  let refused = null;
  for (;;) {
    const given = await openDialog(t("alarm.acknowledge"), (close) => form(alarm, refused, close));
    if (!given) return;
    keep({ operator: given.operator });
    try {
      taken(await post(`${at("alarms", alarm.alarm_id)}/acknowledgement`, given));
      return;
    } catch (error) {
      refused = error;
    }
  }
}

function form(alarm, refused, close) {
  const submit = (event) => {
    event.preventDefault();
    const fields = new FormData(event.target);
    const operator = fields.get("operator").trim();
    const note = fields.get("note").trim();
    if (operator) close(note ? { operator, note } : { operator });
  };
  return html`<form @submit=${submit}><p>${isOfCentre(alarm) ? t("alarm.centre") : alarm.unit_id}: ${alarmWords(alarm)}</p>
    ${refused ? html`<p class="error" role="alert">${coded("error", refused.code)} – ${refused.message}</p>` : nothing}
    <div class="field"><label for="ack-operator">${t("operator")}</label><input id="ack-operator" name="operator" required maxlength="200" autocomplete="name" .value=${settings.operator}></div>
    <div class="field"><label for="ack-note">${t("alarm.note")}</label><textarea id="ack-note" name="note" rows="3" maxlength="500"></textarea></div>
    ${dialogActions(close, t("alarm.acknowledge"))}</form>`;
}
