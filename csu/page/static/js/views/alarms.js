// All alarms: to be acknowledged, acknowledged and still there, closed.

import { html } from "../../packages/lit-html/lit-html.js";
import { alarmList, allAlarms, stageOf, takeAlarm } from "../alarm_list.js";
import { Loader } from "../loader.js";
import { failureNote, viewHead, waiting } from "../parts.js";
import { changed } from "../store.js";
import { t } from "../words.js";

const LISTED = 200;
const STAGES = ["waiting", "acknowledged", "closed"];

export function openAlarms() {
  return new AlarmsView();
}

class AlarmsView {
  name = "alarms";
  #stage = "waiting";
  #critical = false;

  constructor() {
    this.loader = new Loader(() => allAlarms(null, LISTED));
  }

  title() {
    return t("alarms");
  }

  close() {
    this.loader.close();
  }

  hear(event, body) {
    if (event === "hello") this.loader.load();
    if (event === "alarm") this.loader.apply((alarms) => takeAlarm(alarms, body));
    if (event === "alarm") changed();
  }

  template() {
    const { value, error } = this.loader;
    const head = viewHead(t("alarms"));
    if (!value) return html`${head}${error ? failureNote(error, () => this.loader.load()) : waiting()}`;
    const staged = grouped(value);
    const shown = (staged[this.#stage] ?? []).filter((alarm) => !this.#critical || alarm.severity === "critical");
    shown.sort((a, b) => Number(b.severity === "critical") - Number(a.severity === "critical") || Date.parse(b.raised_at) - Date.parse(a.raised_at));
    return html`${head}<div class="filters" role="group" aria-label=${t("alarms.stages")}>${STAGES.map((stage) => html`<button type="button" class="chip" aria-pressed=${String(stage === this.#stage)} @click=${() => this.#choose(stage)}>${t(`alarms.${stage}`)} <b>${(staged[stage] ?? []).length}</b></button>`)}
      <label class="choice"><input type="checkbox" .checked=${this.#critical} @change=${(event) => this.#only(event.target.checked)}> ${t("alarms.critical")}</label></div>
      ${alarmList(shown, { named: true, none: t(`alarms.none.${this.#stage}`), taken: (alarm) => this.hear("alarm", alarm) })}`;
  }

  #choose(stage) {
    this.#stage = stage;
    changed();
  }

  #only(critical) {
    this.#critical = critical;
    changed();
  }
}

function grouped(alarms) {
  const found = {};
  for (const alarm of alarms) (found[stageOf(alarm)] ??= []).push(alarm);
  return found;
}
