// One unit: how it stands and why, its place, health, coverage, alarms, commands and clips.

import { html, nothing } from "../../packages/lit-html/lit-html.js";
import { ref } from "../../packages/lit-html/directives/ref.js";
import { repeat } from "../../packages/lit-html/directives/repeat.js";
import { at, get } from "../api.js";
import { Question } from "../ask.js";
import { alarmList, allAlarms, takeAlarm } from "../alarm_list.js";
import { Coverage } from "../coverage.js";
import { commandList } from "../command_list.js";
import { clipList } from "../clip_list.js";
import { healthSection } from "../health.js";
import { icon } from "../icons.js";
import { Loader } from "../loader.js";
import { failureNote, heard, reasonWords, shownStanding, since, standingBadge, viewHead, waiting } from "../parts.js";
import { placeFacts } from "../place.js";
import { Plan } from "../plan.js";
import { link } from "../router.js";
import { changed, state } from "../store.js";
import { coded, t } from "../words.js";

const LISTED = 30;

export function openUnit({ unit }) {
  return new UnitPage(unit);
}

class UnitPage {
  name = "unit";
  #plan = null;

  constructor(unitId) {
    this.unitId = unitId;
    const query = { unit_id: unitId, limit: LISTED };
    this.view = new Loader(() => get(at("units", unitId, "view")));
    this.alarms = new Loader(() => allAlarms(unitId, LISTED));
    this.commands = new Loader(() => get("/v1/commands", query));
    this.clips = new Loader(() => get("/v1/clips", query));
    this.coverage = new Coverage(unitId);
    this.check = new Question(unitId, "unit.check", 30);
  }

  get #loaders() {
    return [this.view, this.alarms, this.commands, this.clips];
  }

  title() {
    return this.unitId;
  }

  close() {
    for (const loader of this.#loaders) loader.close();
    this.coverage.close();
    this.#plan?.close();
    this.#plan = null;
  }

  hear(event, body) {
    if (event === "hello") for (const loader of this.#loaders) loader.load();
    if (body.unit_id !== this.unitId) return;
    if (event === "unit") this.view.load();
    if (event === "unit-removed") this.#forget();
    if (event === "alarm") this.alarms.apply((alarms) => takeAlarm(alarms, body));
    if (event === "command") {
      this.commands.apply((commands) => take(commands, body, "command_id"));
      this.coverage.hear(body);
      this.check.hear(body);
    }
    if (event === "clip") this.clips.apply((clips) => take(clips, body, "clip_id"));
    changed();
  }

  /** It was shut out: nothing that was heard of it holds any more. */
  #forget() {
    this.view.value = null;
    this.view.load();
  }

  /** What the stream said last of it; the loaded view may be a second behind. */
  get summary() {
    return state.units.get(this.unitId) ?? this.view.value?.summary ?? null;
  }

  drawn() {
    if (!this.#plan || !this.summary) return;
    this.#plan.show([this.summary]);
    this.#plan.showAccuracy(this.summary.place);
  }

  #mount = (element) => {
    this.#plan?.close();
    this.#plan = element ? new Plan(element, { label: t("unit.plan") }) : null;
  };

  template() {
    const { summary } = this;
    if (!summary) return html`${this.#head(nothing)}${this.view.error ? failureNote(this.view.error, () => this.view.load()) : waiting()}`;
    return html`${this.#head(standingBadge(summary))}
      ${this.#standing(summary)}
      ${this.view.error ? failureNote(this.view.error, () => this.view.load()) : nothing}
      <div class="unit">
        <section class="panel panel-wide" aria-labelledby="coverage-title"><h2 id="coverage-title">${t("coverage")}</h2>${this.view.value ? this.coverage.template(this.view.value.coverage) : waiting()}</section>
        <div class="column">
        <section class="panel" aria-labelledby="alarms-title"><h2 id="alarms-title">${t("alarms")}</h2>${this.#listed(this.alarms, (value) => alarmList(value.filter((alarm) => !isClosed(alarm)), { named: false, none: t("alarms.none"), taken: (alarm) => this.hear("alarm", alarm) }))}</section>
        <section class="panel" aria-labelledby="place-title"><h2 id="place-title">${t("place")}</h2><div class="plan plan-small" ?hidden=${!summary.place} ${ref(this.#mount)}></div>${placeFacts(summary.place, this.view.value?.position)}</section>
        <section class="panel" aria-labelledby="clips-title"><h2 id="clips-title">${t("clips")}</h2>${this.#listed(this.clips, (value) => clipList(value, this.commands.value ?? []))}</section>
        </div>
        <div class="column"><section class="panel" aria-labelledby="health-title"><h2 id="health-title">${t("health")}</h2>${this.view.value ? this.#health() : waiting()}</section></div>
        <section class="panel panel-wide" aria-labelledby="commands-title"><h2 id="commands-title">${t("commands")}</h2>${this.#listed(this.commands, commandList)}</section>
      </div>`;
  }

  /** What the unit said last by itself, or what it answered when it was asked since. */
  #health() {
    const { command, busy, error } = this.check;
    const answer = command?.state === "done" ? { body: command.reply.result, heard_at: command.replied_at } : null;
    const ask = html`<button type="button" class="button button-small" ?disabled=${busy} @click=${() => this.check.ask()}>${t("action.ask-now")}</button>
      <span role="status" class="small">${busy ? t("waiting.unit") : command && !answer ? t("check.failed", { state: coded("state", command.state) }) : nothing}</span>`;
    return html`${error ? failureNote(error) : nothing}${healthSection(answer ?? this.view.value.health, ask)}`;
  }

  #head(beside) {
    const actions = html`<a class="button button-main" data-request href=${link("units", this.unitId, "request")}>${icon("film")}${t("request")}</a>`;
    return viewHead(this.unitId, { back: "#/", backWords: t("nav.fleet"), beside, actions });
  }

  #standing(summary) {
    const facts = [
      [t("heard"), heard(summary.heard_at)],
      [t("unit.deployment"), summary.deployment_id ?? "–"],
      [t("unit.software"), summary.software_version ?? "–"],
    ];
    return html`${summary.reasons?.length ? html`<ul class="causes" data-standing=${shownStanding(summary)} aria-label=${t("unit.reasons")}>${repeat(summary.reasons, (_, index) => index, (reason) => html`<li><span>${reasonWords(reason)}</span> ${since(reason.since)}</li>`)}</ul>` : nothing}
      <dl class="facts facts-row">${facts.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
  }

  #listed(loader, draw) {
    if (loader.value) return draw(loader.value);
    return loader.error ? failureNote(loader.error, () => loader.load()) : waiting();
  }
}

const isClosed = (alarm) => Boolean(alarm.cleared_at && alarm.acknowledged_at);

/** Puts a record into a list in place of its older self, or before all others. */
function take(list, record, key) {
  const index = list.findIndex((one) => one[key] === record[key]);
  if (index < 0) list.unshift(record);
  else list[index] = record;
  list.length = Math.min(list.length, LISTED);
  return list;
}
