// A clip: playing, and all that is known of it: intervals, gaps, clock, place, verdict, digests, files.

import { html, nothing } from "../../packages/lit-html/lit-html.js";
import { repeat } from "../../packages/lit-html/directives/repeat.js";
import { at, get } from "../api.js";
import { verdictBadge } from "../clip_list.js";
import { bytes, coordinate, duration, evidenceTime, number, quantity } from "../format.js";
import { icon } from "../icons.js";
import { Loader } from "../loader.js";
import { causeWords, failureNote, viewHead, waiting } from "../parts.js";
import { Player } from "../player.js";
import { link } from "../router.js";
import { coded, t } from "../words.js";

export function openClip({ unit, clip }) {
  return new ClipView(unit, clip);
}

class ClipView {
  name = "clip";
  #player = null;

  constructor(unitId, clipId) {
    Object.assign(this, { unitId, clipId });
    this.loader = new Loader(() => get(at("clips", unitId, clipId)));
  }

  title() {
    return t("clip.title", { unit: this.unitId });
  }

  close() {
    this.loader.close();
  }

  hear(event, body) {
    if (event === "hello" || body.clip_id === this.clipId || body.command_id === this.clipId) this.loader.load();
  }

  template() {
    const { value: clip, error } = this.loader;
    const actions = html`<a class="button" href=${link("units", this.unitId, "commands", this.clipId)}>${t("clip.request")}</a>`;
    const head = viewHead(this.title(), { back: link("units", this.unitId), backWords: this.unitId, beside: clip ? verdictBadge(clip.verdict) : nothing, actions });
    if (!clip) return html`${head}${error ? failureNote(error, () => this.loader.load()) : waiting()}`;
    const parts = (clip.files ?? []).filter((file) => file.kind === "part");
    this.#player ??= parts.length ? new Player(parts) : null;
    return html`${head}<div class="clip"><div class="clip-picture">${this.#player?.template() ?? nothing}${files(clip)}</div>
      <div class="clip-facts">${verdict(clip)}${statement(clip)}${gaps(clip.gaps ?? [])}</div></div>`;
  }
}

const spanOf = (interval) => [interval?.from ?? interval?.start_us, interval?.to ?? interval?.end_us];

function spanWords(interval) {
  const [from, to] = spanOf(interval);
  if (!from || !to) return "–";
  return html`<span class="figure">${evidenceTime(from)}<br>${evidenceTime(to)}</span> <span class="small">${duration((Date.parse(to) - Date.parse(from)) / 1000)}</span>`;
}

function verdict(clip) {
  return html`<section class="panel" aria-labelledby="verdict-title"><h2 id="verdict-title">${t("clip.verdict")}</h2><p>${verdictBadge(clip.verdict)}</p>
    <p>${t(`verdict.words.${clip.verdict}`)}</p>${clip.reason ? html`<p class="note-line">${clip.reason}</p>` : nothing}
    ${(clip.warnings ?? []).map((warning) => html`<p class="note-line">${coded("camera.warning", warning)}</p>`)}</section>`;
}

function statement(clip) {
  const rows = [
    [t("request.camera"), clip.camera ?? "–"],
    [t("clip.delivered"), spanWords(clip.delivered)],
    [t("clip.asked"), spanWords(clip.asked)],
    [t("clip.clock"), clip.clock_source ? coded("clock", clip.clock_source) : t("unknown")],
    [t("clip.bound"), Number.isFinite(clip.clock_bound_ms) ? t("clip.bound.words", { bound: quantity(clip.clock_bound_ms, "millisecond", 1) }) : t("clip.bound.none")],
    [t("place"), places(clip.positions ?? [])],
    [t("clip.arrived.when"), evidenceTime(clip.completed_at)],
    [t("clip.id"), html`<code>${clip.clip_id}</code>`],
  ];
  return html`<section class="panel" aria-labelledby="statement-title"><h2 id="statement-title">${t("clip.statement")}</h2><dl class="facts">${rows.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl></section>`;
}

function places(positions) {
  const usable = positions.filter((one) => Number.isFinite(one.latitude_deg) && Number.isFinite(one.longitude_deg));
  if (!usable.length) return t("clip.no-place");
  if (usable.length === 1) return placeWords(usable[0]);
  return html`${placeWords(usable[0])}<details><summary>${t("clip.places", { count: usable.length })}</summary>
    <ol class="small">${usable.map((one) => html`<li>${evidenceTime(one.at)}<br>${placeWords(one)}</li>`)}</ol></details>`;
}

/** A place, and where the receiver had no fix, that it is the last known one and from when. */
function placeWords(one) {
  const accuracy = Number.isFinite(one.accuracy_m) ? ` ± ${quantity(one.accuracy_m, "meter", 0)}` : "";
  const figure = html`<span class="figure">${coordinate(one.latitude_deg, one.longitude_deg)}${accuracy}</span>`;
  if (one.fix !== "none") return figure;
  const fixed = Number.isFinite(one.age_s) ? Date.parse(one.at) - one.age_s * 1000 : NaN;
  const when = Number.isFinite(fixed) ? ` · ${t("place.measured")}: ${evidenceTime(new Date(fixed).toISOString())}` : "";
  return html`${figure}<br><span class="small">${t("place.last_known")}${when}</span>`;
}

function gaps(found) {
  const rows = found.map((gap) => [...spanOf(gap), gap.cause]);
  return html`<section class="panel" aria-labelledby="clip-gaps-title"><h2 id="clip-gaps-title">${t("clip.gaps")}</h2>${rows.length ? html`<ul class="gaps">${rows.map(([from, to, cause]) => html`<li>${t("gap.words", { from: evidenceTime(from), to: evidenceTime(to), cause: causeWords(cause) })}</li>`)}</ul>` : html`<p>${t("estimate.no-gaps")}</p>`}</section>`;
}

function files(clip) {
  const list = clip.files ?? [];
  const all = () => {
    for (const file of list) {
      const anchor = Object.assign(document.createElement("a"), { href: `${file.url}?download`, download: file.name });
      document.body.append(anchor);
      anchor.click();
      anchor.remove();
    }
  };
  return html`<section class="panel" aria-labelledby="files-title"><div class="sub-head"><h2 id="files-title">${t("clip.files")}</h2>${list.length > 1 ? html`<button type="button" class="button button-small" @click=${all}>${icon("download")}${t("clip.download.all", { count: list.length })}</button>` : nothing}</div>
    <ul class="files">${repeat(list, (file) => file.name, (file) => html`<li><a href=${`${file.url}?download`} download=${file.name} aria-label=${t("clip.download", { name: file.name })}>${icon("download")}<span>${file.name}</span></a>
      <span class="small">${coded("file", file.kind)} · ${bytes(file.size_bytes)}${file.codec ? ` · ${coded("codec", file.codec)}` : ""}${file.preroll_s ? ` · ${t("clip.preroll", { seconds: number(file.preroll_s, 2) })}` : ""}</span>
      ${file.sha256 ? html`<span class="small digest">SHA-256 <code>${file.sha256}</code></span>` : nothing}</li>`)}</ul></section>`;
}
