// One day of the fleet, made to be printed.

import { html, nothing } from "../../packages/lit-html/lit-html.js";
import { repeat } from "../../packages/lit-html/directives/repeat.js";
import { get } from "../api.js";
import { currentZone, dateTime, dayName, duration, number, percent } from "../format.js";
import { icon, sign } from "../icons.js";
import { Loader } from "../loader.js";
import { failureNote, viewHead, waiting } from "../parts.js";
import { link } from "../router.js";
import { RANK, changed, isCurrent, now } from "../store.js";
import { coded, t } from "../words.js";
import { dayOf } from "../zone.js";

const DAY_MS = 86_400_000;

export function openSummary(_, query) {
  return new SummaryView(query.get("day"));
}

class SummaryView {
  name = "summary";
  #value = null;
  #at = null;

  constructor(day) {
    this.day = /^\d{4}-\d\d-\d\d$/.test(day ?? "") ? day : dayOf(now(), currentZone());
    this.#load();
  }

  #load() {
    this.loader?.close();
    this.loader = new Loader(() => get("/v1/summary", { day: this.day }));
  }

  title() {
    return t("summary");
  }

  close() {
    this.loader.close();
  }

  hear(event) {
    if (event === "hello") this.loader.load();
  }

  #go(day) {
    if (!/^\d{4}-\d\d-\d\d$/.test(day)) return;
    this.day = day;
    this.#load();
    changed();
  }

  #step(days) {
    this.#go(new Date(Date.parse(`${this.day}T12:00:00Z`) + days * DAY_MS).toISOString().slice(0, 10));
  }

  template() {
    const today = dayOf(now(), currentZone());
    const actions = html`<button type="button" class="button button-small" @click=${() => this.#step(-1)}>${icon("back")}${t("summary.before")}</button>
      <label class="inline"><span class="hidden">${t("summary.day")}</span><input type="date" max=${today} .value=${this.day} @change=${(event) => this.#go(event.target.value)}></label>
      <button type="button" class="button button-small" ?disabled=${this.day >= today} @click=${() => this.#step(1)}>${t("summary.after")}${icon("forward")}</button>
      <button type="button" class="button" @click=${() => globalThis.print()}>${icon("printer")}${t("summary.print")}</button>`;
    const { value, error } = this.loader;
    if (value !== this.#value) [this.#value, this.#at] = [value, now()];
    return html`${viewHead(t("summary.of", { day: dayName(this.day, { weekday: "long", day: "numeric", month: "long", year: "numeric" }) }), { actions })}
      ${value ? report(value, this.#at) : error ? failureNote(error, () => this.loader.load()) : waiting()}`;
  }
}

function report(day, at) {
  const tiles = [
    [t("summary.recorded"), Number.isFinite(day.recorded_share) ? percent(day.recorded_share, 2) : t("unknown")],
    [t("summary.lost"), duration(day.lost_s)],
    [t("summary.raised"), number(day.alarms_raised, 0)],
    [t("summary.open"), number(day.alarms_open, 0)],
    [t("summary.unacknowledged"), number(day.alarms_unacknowledged, 0)],
    [t("summary.delivered"), number(day.clips_delivered, 0)],
    [t("summary.failed"), number(day.clips_failed, 0)],
  ];
  return html`<p class="small">${t("summary.zone", { zone: day.zone, count: day.units })}</p>
    <dl class="tiles">${tiles.map(([name, value]) => html`<div><dt>${name}</dt><dd class="big">${value}</dd></div>`)}</dl>
    <section class="panel" aria-labelledby="now-title"><h2 id="now-title">${t("summary.now")}</h2><p class="as-of">${t("as-of.time", { time: dateTime(at) })}</p><ul class="standings">${RANK.map((standing) => html`<li>${sign(isCurrent() ? standing : "stale")} <b>${day.standing_now[standing] ?? 0}</b> ${coded("standing.many", standing)}</li>`)}</ul></section>
    <div class="summary-lists">${namedUnits("summary.not-recording", day.not_recording)}${namedUnits("summary.not-heard", day.not_heard)}</div>${table(day)}`;
}

function namedUnits(words, units = []) {
  return html`<section class="panel"><h2>${t(words)} (${units.length})</h2>${units.length ? html`<ul class="named">${units.map((unit) => html`<li><a href=${link("units", unit)}>${unit}</a></li>`)}</ul>` : html`<p>${t("none")}</p>`}</section>`;
}

function table(day) {
  if (!day.rows?.length) return nothing;
  const heads = ["unit", "standing", "recorded", "lost.short", "offline", "alarms.short", "clips.short"];
  return html`<section class="panel" aria-labelledby="rows-title"><h2 id="rows-title">${t("summary.rows")}</h2><div class="table-box" tabindex="0" role="region" aria-label=${t("table", { name: t("summary.rows") })}><table class="summary"><thead><tr>${heads.map((head) => html`<th scope="col">${t(`summary.${head}`)}</th>`)}</tr></thead>
    <tbody>${repeat(day.rows, (row) => row.unit_id, (row) => {
      const expected = (row.held_s ?? 0) + (row.lost_s ?? 0);
      return html`<tr><th scope="row"><a href=${link("units", row.unit_id)}>${row.unit_id}</a></th><td><span class="badge" data-standing=${isCurrent() ? row.standing : "stale"}>${sign(isCurrent() ? row.standing : "stale")}<span>${coded("standing", row.standing)}</span></span></td>
        <td class="figure" data-label=${t("summary.recorded")}>${expected ? percent(row.held_s / expected, 2) : "–"}</td><td class="figure" data-label=${t("summary.lost.short")}>${duration(row.lost_s)}</td><td class="figure" data-label=${t("summary.offline")}>${Number.isFinite(row.offline_s) ? duration(row.offline_s) : "–"}</td><td class="figure" data-label=${t("summary.alarms.short")}>${number(row.alarms, 0)}</td><td class="figure" data-label=${t("summary.clips.short")}>${number(row.clips, 0)}</td></tr>`;
    })}</tbody></table></div></section>`;
}
