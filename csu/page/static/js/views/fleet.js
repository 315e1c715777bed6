// The fleet: how many stand how, a list with trouble first, and the plan.

import { html, nothing } from "../../packages/lit-html/lit-html.js";
import { guard } from "../../packages/lit-html/directives/guard.js";
import { ref } from "../../packages/lit-html/directives/ref.js";
import { repeat } from "../../packages/lit-html/directives/repeat.js";
import { icon, sign } from "../icons.js";
import { cameraWords, empty, heard, reasonWords, shownStanding, standingBadge, waiting } from "../parts.js";
import { Plan, isPlace } from "../plan.js";
import { link } from "../router.js";
import { RANK, changed, inOrder, isCurrent, isUnheard, mayNotRecord, state } from "../store.js";
import { coded, language, t } from "../words.js";

const SHOWN_REASONS = 3;
const filters = { standing: null, notRecording: false, notHeard: false, search: "" };
let pane = "list";

function passes(unit) {
  const { standing, notRecording, notHeard, search } = filters;
  if (standing && unit.standing !== standing) return false;
  if (notRecording && !mayNotRecord(unit)) return false;
  if (notHeard && !isUnheard(unit)) return false;
  return !search || wordsOf(unit).includes(search);
}

/** What a search looks through: the unit's id, its deployment, its cameras, its reasons. */
function wordsOf(unit) {
  const words = [unit.unit_id, unit.deployment_id, ...(unit.cameras ?? []).map((one) => one.name), ...(unit.reasons ?? []).map(reasonWords)];
  return words.join(" ").toLocaleLowerCase(language);
}

function set(changes) {
  Object.assign(filters, changes);
  changed();
}

export function openFleet() {
  return new FleetView();
}

class FleetView {
  name = "fleet";
  #plan = null;
  #picked = null;
  #pickedFrom = null;
  #shown = [];

  title() {
    return t("nav.fleet");
  }

  close() {
    this.#plan?.close();
    this.#plan = null;
  }

  template() {
    const all = inOrder(state.units.values());
    this.#shown = all.filter(passes);
    return html`<h1 class="hidden" tabindex="-1">${t("nav.fleet")}</h1>
      ${this.#tally(all)}
      <div class="panes" role="group" aria-label=${t("fleet.panes")}>${["list", "plan"].map(
        (one) => html`<button type="button" aria-pressed=${String(pane === one)} @click=${() => this.#choosePane(one)}>${t(`fleet.${one}`)}</button>`,
      )}</div>
      <div class="fleet" data-pane=${pane}>
        <section class="fleet-list" aria-labelledby="list-title"><h2 id="list-title" class="hidden">${t("fleet.list")}</h2>
          ${this.#filters(all)}${this.#list(all)}</section>
        <section class="fleet-plan" aria-labelledby="plan-title"><h2 id="plan-title" class="hidden">${t("fleet.plan")}</h2>
          <div class="plan" ${ref(this.#mount)}></div>${this.#card()}${this.#placeless()}</section>
      </div>`;
  }

  drawn() {
    this.#plan?.show(this.#shown);
  }

  #mount = (element) => {
    this.#plan?.close();
    this.#plan = element ? new Plan(element, { label: t("fleet.plan"), onPick: (units, from) => this.#pick(units, from) }) : null;
  };

  #choosePane(wanted) {
    pane = wanted;
    changed();
  }

  #tally(all) {
    const counts = Object.fromEntries(RANK.map((standing) => [standing, 0]));
    for (const unit of all) counts[RANK.includes(unit.standing) ? unit.standing : "unheard"] += 1;
    return html`<div class="tally" role="group" aria-label=${t("fleet.tally")}>${RANK.map(
      (standing) => html`<button type="button" class="tile" data-standing=${isCurrent() ? standing : "stale"} ?data-none=${!counts[standing]} aria-pressed=${String(filters.standing === standing)}
        @click=${() => set({ standing: filters.standing === standing ? null : standing })}>${sign(isCurrent() ? standing : "stale")}
        <span class="tile-count">${counts[standing]}</span><span class="tile-words">${coded("standing.many", standing)}</span></button>`,
    )}</div>`;
  }

  #filters(all) {
    const toggle = (name, count, words) => html`<button type="button" class="chip" aria-pressed=${String(filters[name])} @click=${() => set({ [name]: !filters[name] })}>${words} <b>${count}</b></button>`;
    const filtered = this.#shown.length !== all.length;
    return html`<search class="filters"><label class="search"><span class="hidden">${t("fleet.search")}</span>${icon("search")}
        <input id="search" type="search" autocomplete="off" placeholder=${t("fleet.search")} .value=${filters.search} @input=${(event) => set({ search: event.target.value.trim().toLocaleLowerCase(language) })}></label>
      ${toggle("notRecording", all.filter(mayNotRecord).length, t("fleet.not-recording"))}
      ${toggle("notHeard", all.filter(isUnheard).length, t("fleet.not-heard"))}
      <p class="shown" role="status">${filtered ? t("fleet.shown", { count: this.#shown.length, all: all.length }) : t("fleet.all", { count: all.length })}</p>
      ${filtered ? html`<button type="button" class="button button-small" @click=${clearFilters}>${t("fleet.clear")}</button>` : nothing}</search>`;
  }

  #list(all) {
    if (!state.ready) return waiting();
    if (!all.length) return empty(t("fleet.none"));
    if (!this.#shown.length) return empty(t("fleet.no-match"));
    return html`<ul class="units">${repeat(this.#shown, (unit) => unit.unit_id, (unit) => guard([unit, isCurrent(), language], () => row(unit)))}</ul>`;
  }

  #pick(units, from) {
    this.#picked = units.map((unit) => unit.unit_id);
    this.#pickedFrom = from;
    changed();
    requestAnimationFrame(() => requestAnimationFrame(() => document.querySelector(".plan-card h3")?.focus()));
  }

  #dropCard = () => {
    this.#picked = null;
    changed();
    if (this.#pickedFrom?.isConnected) this.#pickedFrom.focus();
  };

  /** The units of the sign that was chosen on the plan. */
  #card() {
    const units = (this.#picked ?? []).map((id) => state.units.get(id)).filter(Boolean);
    if (!units.length) return nothing;
    return html`<aside class="plan-card" aria-labelledby="card-title" @keydown=${(event) => event.key === "Escape" && this.#dropCard()}>
      <div class="card-head"><h3 id="card-title" tabindex="-1">${t("plan.here", { count: units.length })}</h3>
        <button type="button" class="button button-small" @click=${this.#dropCard}>${t("action.close")}</button></div>
      <ul class="units">${repeat(inOrder(units), (unit) => unit.unit_id, row)}</ul></aside>`;
  }

  #placeless() {
    const units = this.#shown.filter((unit) => !isPlace(unit.place));
    if (!units.length) return nothing;
    return html`<section class="placeless" aria-labelledby="placeless-title"><h3 id="placeless-title">${t("plan.placeless", { count: units.length })}</h3>
      <ul>${repeat(units, (unit) => unit.unit_id, (unit) => html`<li><a class="chip" href=${link("units", unit.unit_id)}>${sign(shownStanding(unit))}${unit.unit_id}</a></li>`)}</ul></section>`;
  }
}

function clearFilters() {
  set({ standing: null, notRecording: false, notHeard: false, search: "" });
  document.getElementById("search")?.focus();
}

function row(unit) {
  const reasons = unit.reasons ?? [];
  const more = reasons.length - SHOWN_REASONS;
  return html`<li><a class="unit-row" data-standing=${shownStanding(unit)} href=${link("units", unit.unit_id)}>
    <span class="row-head"><b class="unit-name">${unit.unit_id}</b>${standingBadge(unit)}</span>
    ${reasons.length ? html`<span class="reasons">${reasons.slice(0, SHOWN_REASONS).map((reason) => html`<span>${reasonWords(reason)}</span>`)}${more > 0 ? html`<span class="more">${t("reason.more", { count: more })}</span>` : nothing}</span>` : nothing}
    <span class="row-facts"><span class="fact">${t("heard")} ${heard(unit.heard_at)}</span>
      <span class="fact">${icon("camera")}${cameraWords(unit)}</span>
      ${unit.open_alarms ? html`<span class="fact fact-alarm">${icon("bell")}${t("alarms.open", { count: unit.open_alarms })}${unit.unacknowledged_alarms ? html` · <b>${t("alarms.unacknowledged", { count: unit.unacknowledged_alarms })}</b>` : nothing}</span>` : nothing}
      ${unit.open_commands ? html`<span class="fact">${icon("film")}${t("commands.open", { count: unit.open_commands })}</span>` : nothing}</span>
  </a></li>`;
}
