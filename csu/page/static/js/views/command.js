// A request for footage under way: how far it is, when it is expected to end, its verdict; and its end by hand.

import { html, nothing } from "../../packages/lit-html/lit-html.js";
import { at, get, post } from "../api.js";
import { isFinal } from "../ask.js";
import { errorWords, spanWords, stateBadge } from "../command_list.js";
import { verdictBadge } from "../clip_list.js";
import { openDialog, dialogActions, operatorName } from "../dialogs.js";
import { bytes, clockTime, dateTime, duration, nearTime, percent } from "../format.js";
import { Loader } from "../loader.js";
import { failureNote, viewHead, waiting } from "../parts.js";
import { link } from "../router.js";
import { changed, isCurrent, now, state } from "../store.js";
import { t } from "../words.js";

const STEPS = ["waiting", "accepted", "running", "done"];

export function openCommand({ unit, command }) {
  return new CommandView(unit, command);
}

class CommandView {
  name = "command";
  #failure = null;
  #cancelling = false;

  constructor(unitId, commandId) {
    Object.assign(this, { unitId, commandId });
    this.loader = new Loader(() => get(at("commands", commandId)));
  }

  title() {
    return t("command.title", { unit: this.unitId });
  }

  close() {
    this.loader.close();
  }

  hear(event, body) {
    if (event === "hello") this.loader.load();
    if (event === "command" && body.command_id === this.commandId && this.loader.value) this.loader.value = { ...this.loader.value, command: body };
    else if (event === "clip" && body.clip_id === this.commandId && this.loader.value) this.loader.value = { ...this.loader.value, clip: body };
    else if (body.command_id === this.commandId || body.clip_id === this.commandId) this.loader.load();
    changed();
  }

  template() {
    const head = viewHead(this.title(), { back: link("units", this.unitId), backWords: this.unitId });
    const { value, error } = this.loader;
    if (!value) return html`${head}${error ? failureNote(error, () => this.loader.load()) : waiting()}`;
    const { command, clip } = value;
    return html`${head}<div class="command"><section class="panel" aria-labelledby="progress-title">
        <div class="sub-head"><h2 id="progress-title">${t("command.progress")}</h2>${stateBadge(command.state)}</div>
        ${this.#steps(command)}${this.#progress(command)}
        <p>${errorWords(command)}</p>
        ${this.#failure ? failureNote(this.#failure) : nothing}
        ${this.#next(command, clip)}</section>
      <section class="panel" aria-labelledby="asked-title"><h2 id="asked-title">${t("command.asked")}</h2>${facts(command)}</section></div>`;
  }

  #steps(command) {
    const reached = STEPS.indexOf(command.state);
    if (reached < 0) return nothing;
    return html`<ol class="steps">${STEPS.map((step, index) => html`<li data-reached=${index < reached || command.state === "done" ? "yes" : index === reached ? "here" : "no"} aria-current=${index === reached ? "step" : "false"}>${t(`step.${step}`)}</li>`)}</ol>`;
  }

  #progress({ state: name, reply }) {
    if (name === "waiting") return html`<p>${t("command.waits", { unit: this.unitId })}</p>`;
    const progress = reply?.progress;
    if (!progress || name === "done") return nothing;
    const share = progress.total_bytes ? progress.sent_bytes / progress.total_bytes : 0;
    const end = progress.expected_end;
    return html`<div class="progress"><progress max="1" .value=${share} aria-label=${t("command.progress")}></progress>
      <p><b class="big">${percent(share)}</b> ${t("command.sent", { sent: bytes(progress.sent_bytes), total: bytes(progress.total_bytes) })}</p>
      <p class="small">${end && !isFinal({ state: name }) ? t("command.end", { time: nearTime(end, now()), rest: duration(Math.max(0, (Date.parse(end) - now()) / 1000)) }) : t("command.no-end")}
      ${progress.before_overwrite === false ? html` <b>${t("command.overwritten")}</b>` : nothing}</p></div>`;
  }

  #next(command, clip) {
    const watch = clip ? html`<a class="button button-main" href=${link("units", this.unitId, "clips", this.commandId)}>${t("command.watch")}</a>` : nothing;
    const cancel = isFinal(command) ? nothing : html`<button type="button" class="button" ?disabled=${this.#cancelling || !isCurrent()} @click=${() => this.#cancel()}>${t(this.#cancelling ? "command.cancelling" : "command.cancel")}</button>`;
    const again = ["failed", "rejected", "expired", "cancelled"].includes(command.state) ? html`<a class="button" href=${`${link("units", this.unitId, "request")}?${new URLSearchParams({ camera: command.params.camera ?? "", from: command.params.from ?? "", to: command.params.to ?? "" })}`}>${t("command.again")}</a>` : nothing;
    return html`${clip ? html`<p>${t("clip.verdict")} ${verdictBadge(clip.verdict)} ${clip.reason ?? ""}</p>` : nothing}<p class="form-actions">${watch}${cancel}${again}</p>`;
  }

  async #cancel() {
    const operator = await operatorName();
    if (!operator) return;
    const sure = await openDialog(t("command.cancel"), (close) => html`<form @submit=${(event) => { event.preventDefault(); close(true); }}><p>${t("command.cancel.sure")}</p>${dialogActions(close, t("command.cancel"))}</form>`);
    if (!sure) return;
    this.#cancelling = true;
    this.#failure = null;
    changed();
    try {
      await post("/v1/commands", { unit_id: this.unitId, cmd: "clip.cancel", params: { clip_id: this.commandId }, operator });
    } catch (error) {
      this.#failure = error;
      this.#cancelling = false;
    }
    changed();
  }
}

function facts(command) {
  const rows = [
    [t("request.interval"), spanWords(command.params)],
    [t("request.reference"), command.reference ?? "–"],
    [t("request.purpose"), command.purpose ?? "–"],
    [t("operator"), command.operator],
    [t("command.issued"), dateTime(command.issued_at)],
    [t("command.expires"), dateTime(command.expires_at)],
    [t("command.replied"), command.replied_at ? clockTime(command.replied_at) : t("command.no-reply")],
    [t("command.id"), html`<code>${command.command_id}</code>`],
  ];
  const unit = state.units.get(command.unit_id);
  return html`<dl class="facts">${rows.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>${unit && !unit.online && !isFinal(command) ? html`<p class="note-line">${t("command.offline")}</p>` : nothing}`;
}
