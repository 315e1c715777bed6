// What a request would cost, before it is sent: asked of the service a moment after the last change.

import { html, nothing } from "../packages/lit-html/lit-html.js";
import { at, get } from "./api.js";
import { bytes, dateTime, duration, rate } from "./format.js";
import { icon, sign } from "./icons.js";
import { causeWords, failureNote, heard } from "./parts.js";
import { changed } from "./store.js";
import { coded, t } from "./words.js";

const PAUSE_MS = 350;
const RISK_STANDING = { none: "ok", soon: "warning", "before-end": "trouble", gone: "trouble", unknown: "unheard" };
const SHOWN_GAPS = 6;

export class Estimate {
  #timer = 0;
  #abort = null;
  #key = "";

  constructor(unitId) {
    this.unitId = unitId;
    this.value = null;
    this.error = null;
    this.busy = false;
  }

  /** What is to be estimated now; null while it is not whole. */
  want(wanted) {
    const key = JSON.stringify(wanted);
    if (key === this.#key) return;
    this.#key = key;
    this.close();
    Object.assign(this, { error: null, value: null, busy: Boolean(wanted) });
    if (wanted) this.#timer = setTimeout(() => this.#ask(wanted), PAUSE_MS);
  }

  async #ask(wanted) {
    const abort = new AbortController();
    this.#abort = abort;
    try {
      this.value = await get(at("units", this.unitId, "estimate"), wanted, abort.signal);
    } catch (error) {
      if (error.name === "AbortError") return;
      this.error = error;
    }
    this.busy = false;
    changed();
  }

  close() {
    clearTimeout(this.#timer);
    this.#abort?.abort();
  }

  template() {
    return html`<section class="estimate" aria-labelledby="estimate-title" aria-busy=${String(this.busy)}><h2 id="estimate-title">${t("estimate")}</h2><div role="status">${this.#body()}</div></section>`;
  }

  #body() {
    if (this.error) return failureNote(this.error);
    if (this.busy) return html`<p class="waiting">${t("estimate.busy")}</p>`;
    if (!this.value) return html`<p class="empty">${t("estimate.none")}</p>`;
    return figures(this.value);
  }
}

function figures(estimate) {
  const risk = RISK_STANDING[estimate.overwrite_risk] ?? "unheard";
  const knows = estimate.rate_basis === "measured" && Number.isFinite(estimate.expected_s);
  return html`${estimate.problem ? html`<p class="note note-trouble">${sign("trouble")}<span>${coded("code", estimate.problem)}</span></p>` : nothing}
    <dl class="estimates"><div><dt>${t("estimate.size")}</dt><dd class="big">${bytes(estimate.size_bytes)}</dd><dd class="small">${t("estimate.held", { held: duration(estimate.held_s) })}</dd></div>
    <div><dt>${t("estimate.time")}</dt><dd class="big">${knows ? duration(Math.max(1, estimate.expected_s)) : t("unknown")}</dd><dd class="small">${knows ? t("estimate.rate", { rate: rate(estimate.rate_kbps) }) : t("estimate.no-rate")}</dd></div>
    <div><dt>${t("estimate.risk")}</dt><dd><span class="badge" data-standing=${risk}>${sign(risk)}<span>${coded("risk", estimate.overwrite_risk)}</span></span></dd>${estimate.overwrite_at ? html`<dd class="small">${t("estimate.overwrite", { time: dateTime(estimate.overwrite_at) })}</dd>` : nothing}</div>
    <div><dt>${t("estimate.missing")}</dt><dd class=${estimate.missing_s > 0 ? "big" : ""}>${estimate.missing_s > 0 ? duration(estimate.missing_s) : t("estimate.no-gaps")}</dd></div></dl>
    ${gaps(estimate.gaps ?? [])}
    <p class="small as-of">${icon("list")}${estimate.coverage_heard_at ? html`${t("estimate.as-of")} ${heard(estimate.coverage_heard_at)}` : t("estimate.no-coverage")}</p>`;
}

function gaps(found) {
  if (!found.length) return nothing;
  const more = found.length - SHOWN_GAPS;
  return html`<ul class="gaps">${found.slice(0, SHOWN_GAPS).map((gap) => html`<li>${t("gap.words", { from: dateTime(gap.from), to: dateTime(gap.to), cause: causeWords(gap.cause) })}</li>`)}${more > 0 ? html`<li>${t("gap.more", { count: more })}</li>` : nothing}</ul>`;
}
