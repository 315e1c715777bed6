// The request for footage: what is asked, what it costs, what is wrong with it, beside the fields.

import { html, nothing } from "../../packages/lit-html/lit-html.js";
import { live } from "../../packages/lit-html/directives/live.js";
import { post } from "../api.js";
import { Estimate } from "../estimate.js";
import { currentZone, spokenTime } from "../format.js";
import { intervalProblems, readEnd } from "../interval.js";
import { failureNote, standingBadge, viewHead } from "../parts.js";
import { link } from "../router.js";
import { keep, settings } from "../settings.js";
import { changed, now, state } from "../store.js";
import { t } from "../words.js";
import { offsetName, toLocal } from "../zone.js";

const AFTER_CLICK_MS = 300;
const QUICK_MIN = [1, 5, 15, 60];
const SERVER_FIELDS = { camera: "camera", from: "from", to: "to", reference: "reference", purpose: "purpose", operator: "operator", priority: "priority" };
const TEXTS = ["reference", "purpose", "operator"];

export function openRequest({ unit }, query) {
  return new RequestView(unit, query);
}

class RequestView {
  name = "request";
  #touched = new Set();
  #answered = {};
  #failure = null;
  #sending = false;

  constructor(unitId, query) {
    this.unitId = unitId;
    this.estimate = new Estimate(unitId);
    const local = (name) => (Date.parse(query.get(name)) ? toLocal(Date.parse(query.get(name)), currentZone()) : "");
    this.values = { camera: query.get("camera") ?? "", from: local("from"), to: local("to"), reference: "", purpose: "", operator: settings.operator, priority: "normal" };
    this.choices = { from: null, to: null };
  }

  title() {
    return t("request.title", { unit: this.unitId });
  }

  close() {
    this.estimate.close();
  }

  get #unit() {
    return state.units.get(this.unitId);
  }

  get #cameras() {
    return (this.#unit?.cameras ?? []).map((camera) => camera.name);
  }

  get #camera() {
    return this.values.camera || this.#cameras[0] || "main";
  }

  #ends() {
    return { from: readEnd(this.values.from, this.choices.from, currentZone()), to: readEnd(this.values.to, this.choices.to, currentZone()) };
  }

  #problems(ends) {
    const found = intervalProblems(ends.from, ends.to, now());
    for (const name of TEXTS) if (!this.values[name].trim()) found[name] = t(`request.${name}.missing`);
    return { ...found, ...this.#answered };
  }

  #set(name, value) {
    this.values[name] = value;
    if (name === "from" || name === "to") this.choices[name] = null;
    delete this.#answered[name];
    changed();
  }

  /** A field was left: what is wrong with it is told a moment later, lest it move the button that is being pressed. */
  #touch(name) {
    this.#touched.add(name);
    setTimeout(changed, AFTER_CLICK_MS);
  }

  #quick(minutes) {
    const end = Math.floor(now() / 1000) * 1000;
    for (const [name, instant] of [["from", end - minutes * 60_000], ["to", end]]) {
      this.#set(name, toLocal(instant, currentZone()));
      const { choices } = readEnd(this.values[name], null, currentZone());
      if (choices) this.choices[name] = choices.findIndex((one) => one.instant === instant);
      this.#touched.add(name);
    }
  }

  template() {
    const ends = this.#ends();
    const problems = this.#problems(ends);
    const whole = ends.from.instant && ends.to.instant && !problems.from && !problems.to;
    const iso = (end) => new Date(end.instant).toISOString();
    this.estimate.want(whole ? { camera: this.#camera, from: iso(ends.from), to: iso(ends.to) } : null);
    return html`${viewHead(t("request.title", { unit: this.unitId }), { back: link("units", this.unitId), backWords: this.unitId, beside: this.#unit ? standingBadge(this.#unit) : nothing })}
      <form class="request" novalidate @submit=${(event) => this.#submit(event)}><div class="request-fields">
        ${this.#failure ? failureNote(this.#failure) : nothing}
        ${this.#cameraField(problems)}
        <fieldset class="interval"><legend>${t("request.interval")}</legend><p class="hint">${t("request.zone", { zone: currentZone() })}</p>
          <div class="quick" role="group" aria-label=${t("request.quick")}>${QUICK_MIN.map((minutes) => html`<button type="button" class="chip" @click=${() => this.#quick(minutes)}>${t("request.last", { count: minutes })}</button>`)}</div>
          <div class="ends">${this.#end("from", ends.from, problems)}${this.#end("to", ends.to, problems)}</div></fieldset>
        ${this.#text("reference", problems, { hint: true })}${this.#text("purpose", problems, { hint: true })}${this.#text("operator", problems, { autocomplete: "name" })}
        ${this.#priority()}</div>
        ${this.estimate.template()}
        <p class="form-actions request-send"><button class="button button-main" ?disabled=${this.#sending}>${t(this.#sending ? "request.sending" : "request.send")}</button></p>
      </form>`;
  }

  #shownProblem(name, problems) {
    return this.#touched.has(name) || this.#answered[name] ? problems[name] : null;
  }

  #cameraField(problems) {
    const names = this.#cameras.includes(this.#camera) ? this.#cameras : [...this.#cameras, this.#camera];
    return this.#field("camera", problems, {}, (described) => html`<select id="camera" aria-describedby=${described} @change=${(event) => this.#set("camera", event.target.value)}>${names.map((name) => html`<option value=${name} ?selected=${name === this.#camera}>${name}</option>`)}</select>`);
  }

  #end(name, end, problems) {
    const choose = (index) => () => {
      this.choices[name] = index;
      changed();
    };
    return html`<div>${this.#field(name, problems, {}, (described, invalid) => html`<input id=${name} type="datetime-local" step="1" required aria-describedby=${described} aria-invalid=${invalid} .value=${live(this.values[name])}
        @input=${(event) => this.#set(name, event.target.value)} @blur=${() => this.#touch(name)}>`)}
      <p class="reads" ?hidden=${Boolean(this.#shownProblem(name, problems))}>${end.instant ? t("request.reads", { time: spokenTime(end.instant), offset: offsetName(end.instant, currentZone()) }) : nothing}</p>
      ${end.choices ? html`<fieldset class="twice"><legend>${t("request.time.which")}</legend>${end.choices.map((one) => html`<label class="choice"><input type="radio" name=${`${name}-which`} .checked=${this.choices[name] === one.index} @change=${choose(one.index)}> ${one.words}</label>`)}</fieldset>` : nothing}</div>`;
  }

  #text(name, problems, { hint = false, autocomplete = "off" }) {
    return this.#field(name, problems, { hint }, (described, invalid) => html`<input id=${name} type="text" required maxlength="200" autocomplete=${autocomplete} aria-describedby=${described} aria-invalid=${invalid} .value=${live(this.values[name])}
      @input=${(event) => this.#set(name, event.target.value)} @blur=${() => this.#touch(name)}>`);
  }

  #priority() {
    return html`<fieldset class="priorities"><legend>${t("request.priority")}</legend>${["urgent", "normal", "background"].map((one) => html`<label class="choice"><input type="radio" name="priority" value=${one} .checked=${this.values.priority === one} @change=${() => this.#set("priority", one)}> ${t(`priority.${one}`)}</label>`)}</fieldset>`;
  }

  #field(name, problems, { hint = false }, draw) {
    const problem = this.#shownProblem(name, problems);
    const described = [hint ? `${name}-hint` : "", problem ? `${name}-error` : ""].filter(Boolean).join(" ") || nothing;
    return html`<div class="field" ?data-wrong=${Boolean(problem)}><label for=${name}>${t(`request.${name}`)}</label>${hint ? html`<p class="hint" id=${`${name}-hint`}>${t(`request.${name}.hint`)}</p>` : nothing}
      ${draw(described, problem ? "true" : "false")}${problem ? html`<p class="error" id=${`${name}-error`}>${problem}</p>` : nothing}</div>`;
  }

  /** By what the fields hold now: what is drawn may be a frame behind. */
  async #submit(event) {
    event.preventDefault();
    const ends = this.#ends();
    const problems = this.#problems(ends);
    for (const name of ["from", "to", ...TEXTS]) this.#touched.add(name);
    changed();
    const wrong = Object.keys(problems)[0];
    if (wrong) return this.#focus(["from", "to", ...TEXTS].find((name) => name in problems) ?? wrong);
    return this.#send(ends);
  }

  #focus(name) {
    requestAnimationFrame(() => requestAnimationFrame(() => document.getElementById(name)?.focus()));
  }

  async #send(ends) {
    Object.assign(this, { values: { ...this.values, operator: this.values.operator.trim() } });
    this.#sending = true;
    this.#failure = null;
    keep({ operator: this.values.operator });
    const params = { camera: this.#camera, from: new Date(ends.from.instant).toISOString(), to: new Date(ends.to.instant).toISOString(), priority: this.values.priority };
    const { operator, reference, purpose } = this.values;
    try {
      const command = await post("/v1/commands", { unit_id: this.unitId, cmd: "clip.request", params, operator, reference: reference.trim(), purpose: purpose.trim() });
      location.hash = link("units", this.unitId, "commands", command.command_id);
    } catch (error) {
      const field = SERVER_FIELDS[error.field];
      if (field) this.#answered[field] = error.message;
      else this.#failure = error;
      if (field) this.#focus(field);
    }
    this.#sending = false;
    changed();
  }
}
