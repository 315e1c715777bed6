// What a unit's cameras hold: a bar of days, the last 24 hours, and any older day as the unit answers it.

import { html, nothing } from "../packages/lit-html/lit-html.js";
import { Question } from "./ask.js";
import { gapTable, stretchesIn, timeBar } from "./bar.js";
import { bytes, dateTime, dayName, duration, nearTime, percent, shortDuration } from "./format.js";
import { empty, failureNote, heard, saidAt } from "./parts.js";
import { changed, now } from "./store.js";
import { coded, t } from "./words.js";

const DAY_MS = 86_400_000;
const MAX_PAGES = 20;

/** Where the bar of the last day begins: at the first footage, where all of it is younger than a day. */
function firstOf(oldest, intervals, end) {
  const starts = [oldest, ...(intervals ?? []).map((one) => one.from)].map((text) => Date.parse(text ?? ""));
  const known = starts.filter((start) => start < end);
  return known.length ? Math.max(end - DAY_MS, Math.min(...known)) : end - DAY_MS;
}

export class Coverage {
  #days = new Map();
  #bars = new Map();
  #chosen = new Map();

  constructor(unitId) {
    this.unitId = unitId;
  }

  close() {
    this.#days.clear();
  }

  /** A command of this unit: perhaps the answer of a day that was asked for. */
  hear(command) {
    for (const day of this.#days.values()) day.question.hear(command);
  }

  #answered(day, command) {
    if (command.state !== "done") return;
    const { intervals, cursor } = command.reply?.result ?? {};
    if (Array.isArray(intervals)) day.intervals.push(...intervals.filter((one) => one && typeof one === "object"));
    day.pages += 1;
    day.whole = !cursor || day.pages >= MAX_PAGES;
    if (!day.whole) void day.question.ask({ ...day.params, cursor });
  }

  /** Asks the unit for a day, or, where `day` is `now`, for the last 24 hours. */
  #ask(camera, day) {
    const start = day === "now" ? now() - DAY_MS : Date.parse(`${day}T00:00:00Z`);
    const params = { camera, from: new Date(start).toISOString(), to: new Date(Math.min(start + DAY_MS, now())).toISOString() };
    const asked = { params, intervals: [], pages: 0, whole: false, question: null };
    asked.question = new Question(this.unitId, "coverage.query", 300, (command) => this.#answered(asked, command));
    this.#days.set(`${camera} ${day}`, asked);
    void asked.question.ask(params);
  }

  #choose(camera, day) {
    const same = this.#chosen.get(camera) === day;
    this.#chosen.set(camera, same ? null : day);
    changed();
  }

  template(said) {
    const cameras = said?.body?.cameras ?? [];
    if (!cameras.length) return empty(t("coverage.none"));
    return html`<p class="as-of">${t("as-of")} ${heard(saidAt(said))}</p>${cameras.map((one) => this.#camera(one, Date.parse(said.body.at ?? said.heard_at)))}`;
  }

  #camera(one, atMs) {
    const facts = [
      one.oldest ? t("coverage.since", { oldest: dateTime(one.oldest) }) : t("coverage.empty"),
      bytes(one.size_bytes),
      Number.isFinite(one.hours_until_overwrite) ? t("coverage.overwrite", { time: duration(one.hours_until_overwrite * 3600) }) : null,
    ].filter(Boolean);
    return html`<div class="covered"><h3>${t("coverage.camera", { camera: one.camera })}</h3><p class="small">${facts.join(" · ")}</p>
      ${this.#dayBar(one)}${this.#chosenDay(one)}
      ${this.#lastDay(one, atMs)}
      ${one.truncated ? html`<p class="small">${t("coverage.truncated")}</p>` : nothing}</div>`;
  }

  /** The last 24 hours as the unit said by itself, or as it answered since. */
  #lastDay({ camera, oldest, last_24h: said }, atMs) {
    const asked = this.#days.get(`${camera} now`);
    const end = asked?.whole ? Date.parse(asked.params.to) : atMs;
    const ask = () => this.#ask(camera, "now");
    const intervals = asked?.whole ? asked.intervals : said;
    const begin = firstOf(oldest, intervals, end);
    const title = begin > end - DAY_MS ? t("coverage.begun") : t("coverage.24h");
    return html`<div class="sub-head"><h4>${title}</h4><span class="small">${t("as-of.time", { time: nearTime(end, now()) })}</span>
        <button type="button" class="button button-small" ?disabled=${asked?.question.busy ?? false} @click=${ask}>${t("action.ask-now")}</button></div>
      ${asked ? this.#answer(asked, ask) : nothing}
      ${this.#bar(`${camera} now`, intervals, begin, end, t("coverage.24h.label", { camera }))}`;
  }

  #bar(key, intervals, fromMs, toMs, label) {
    const stretches = stretchesIn(intervals, fromMs, toMs);
    const state = { focus: this.#bars.get(key) ?? 0 };
    const onFocus = (focus) => {
      if (this.#bars.get(key) === focus) return;
      this.#bars.set(key, focus);
      changed();
    };
    return html`${timeBar({ stretches, fromMs, toMs, label, state, onFocus })}
      <details><summary>${t("coverage.table")}</summary>${gapTable(stretches, label)}</details>`;
  }

  /** A column a UTC day: how much of it is held; a click asks for its hours. */
  #dayBar({ camera, days = [] }) {
    if (!days.length) return nothing;
    const chosen = this.#chosen.get(camera);
    return html`<h4 id=${`days-${camera}`}>${t("coverage.days")}</h4><ul class="days" aria-labelledby=${`days-${camera}`}>${days.map((one) => {
      const share = one.held_s + one.lost_s ? one.held_s / (one.held_s + one.lost_s) : 0;
      const words = t("coverage.day", { day: dayName(one.day), share: percent(share, one.lost_s && share > 0.99 ? 2 : 0), lost: duration(one.lost_s) });
      return html`<li><button type="button" class="day" aria-pressed=${String(chosen === one.day)} title=${words} @click=${() => this.#choose(camera, one.day)}>
        <svg width="100%" height="40" aria-hidden="true"><rect class="bar-gap" width="100%" height="100%"/><rect class="bar-held" width="100%" y=${`${100 - share * 100}%`} height=${`${share * 100}%`}/></svg>
        <span>${dayName(one.day, { day: "numeric", month: "numeric" })}</span><small>${one.lost_s ? (share > 0.995 ? t("coverage.lost.short", { lost: shortDuration(one.lost_s) }) : percent(share)) : "✓"}</small><span class="hidden">${words}</span></button></li>`;
    })}</ul>`;
  }

  #chosenDay({ camera }) {
    const day = this.#chosen.get(camera);
    if (!day) return nothing;
    const asked = this.#days.get(`${camera} ${day}`);
    const start = Date.parse(`${day}T00:00:00Z`);
    const name = dayName(day, { weekday: "long", day: "numeric", month: "long" });
    return html`<div class="chosen-day"><h4>${t("coverage.hours", { day: name })}</h4>${this.#answer(asked, () => this.#ask(camera, day))}
      ${asked?.intervals.length ? this.#bar(`${camera} ${day}`, asked.intervals, start, start + DAY_MS, t("coverage.hours", { day: name })) : nothing}</div>`;
  }

  #answer(asked, ask) {
    if (!asked) return html`<p>${t("coverage.ask.words")} <button type="button" class="button" @click=${ask}>${t("coverage.ask")}</button></p>`;
    const { error, command, busy } = asked.question;
    if (error) return failureNote(error, ask);
    if (busy) return html`<p class="waiting" role="status">${t("coverage.asking", { state: coded("state", command?.state ?? "waiting") })}</p>`;
    if (!command) return html`<p><button type="button" class="button" @click=${ask}>${t("coverage.ask")}</button></p>`;
    if (command.state === "done") return asked.intervals.length ? nothing : html`<p>${t("coverage.nothing")}</p>`;
    const why = command.reply?.error;
    return html`<p>${t("coverage.failed", { state: coded("state", command.state), why: why ? coded("code", why.code) : "" })} <button type="button" class="button" @click=${ask}>${t("action.retry")}</button></p>`;
  }
}
