// A stretch of time as a bar: what is held, and gaps with their causes; by hover, by arrow keys, and as a table.

import { html, svg } from "../packages/lit-html/lit-html.js";
import { clockTime, dateTime, duration, shortTime } from "./format.js";
import { causeWords } from "./parts.js";
import { t } from "./words.js";

const LEAST_SHARE = 0.15;
const MOST_TICKS = 9;
const STEPS_MS = [10_000, 30_000, 60_000, 300_000, 900_000, 3_600_000, 10_800_000];

/** Held and lost stretches inside a span, oldest first, with milliseconds. */
export function stretchesIn(intervals, fromMs, toMs) {
  const found = [];
  for (const one of intervals ?? []) {
    const start = Math.max(fromMs, Date.parse(one.from));
    const end = Math.min(toMs, Date.parse(one.to));
    if (end > start) found.push({ start, end, held: one.held, cause: one.cause ?? null });
  }
  return found.sort((a, b) => a.start - b.start);
}

/** A stretch in words. */
export function stretchWords(one) {
  const show = one.end - one.start < 600_000 ? clockTime : shortTime;
  const values = { from: show(one.start), to: show(one.end), length: duration((one.end - one.start) / 1000) };
  return one.held ? t("bar.held", values) : t("bar.gap", { ...values, cause: causeWords(one.cause) });
}

const percentOf = (value) => `${Math.round(value * 1e4) / 100}%`;

/** The bar; `state.focus` remembers which stretch the arrow keys are at. */
export function timeBar({ stretches, fromMs, toMs, label, state, onFocus }) {
  const share = (ms) => (ms - fromMs) / (toMs - fromMs);
  const focus = Math.min(state.focus ?? 0, Math.max(0, stretches.length - 1));
  const step = (event) => {
    const move = { ArrowLeft: -1, ArrowRight: 1, Home: -stretches.length, End: stretches.length }[event.key];
    if (!move) return;
    event.preventDefault();
    const next = Math.max(0, Math.min(stretches.length - 1, focus + move));
    onFocus(next);
    event.currentTarget.querySelectorAll("[data-stretch]")[next]?.focus();
  };
  return html`<div class="bar-box"><svg class="bar" role="group" aria-label=${label} width="100%" height="44" @keydown=${step}>
      <rect class="bar-ground" x="0" y="0" width="100%" height="100%" rx="3"/>
      ${stretches.map((one, index) => {
        const wide = Math.max(share(one.end) - share(one.start), one.held ? 0 : LEAST_SHARE / 100);
        const words = stretchWords(one);
        return svg`<rect data-stretch class=${one.held ? "bar-held" : "bar-gap"} x=${percentOf(share(one.start))} width=${percentOf(wide)} y="0" height="100%" role="img" aria-label=${words}
          tabindex=${index === focus ? 0 : -1} @focus=${() => onFocus(index)} @pointerenter=${() => onFocus(index)}><title>${words}</title></rect>`;
      })}
    </svg>
    <svg class="bar-scale" width="100%" height="22" aria-hidden="true">${ticks(fromMs, toMs).map(([at, words], index, all) => svg`<line x1=${percentOf(share(at))} x2=${percentOf(share(at))} y1="0" y2="5"/><text x=${percentOf(share(at))} y="19" text-anchor=${share(at) < 0.02 ? "start" : share(at) > 0.98 ? "end" : "middle"} class=${index % 2 && all.length > 5 ? "tick-odd" : ""}>${words}</text>`)}</svg>
    <p class="bar-words" data-kind=${stretches[focus] ? (stretches[focus].held ? "held" : "gap") : "none"}>${stretches[focus] ? stretchWords(stretches[focus]) : t("bar.nothing")}</p></div>`;
}

function ticks(fromMs, toMs) {
  const step = STEPS_MS.find((one) => (toMs - fromMs) / one <= MOST_TICKS) ?? STEPS_MS.at(-1);
  const found = [];
  for (let at = Math.ceil(fromMs / step) * step; at <= toMs; at += step) found.push([at, step < 60_000 ? clockTime(at) : shortTime(at)]);
  return found;
}

/** The same gaps as a table. */
export function gapTable(stretches, caption) {
  const gaps = stretches.filter((one) => !one.held);
  if (!gaps.length) return html`<p class="small">${t("bar.no-gaps")}</p>`;
  return html`<div class="table-box" tabindex="0" role="region" aria-label=${t("table", { name: caption })}><table><caption class="hidden">${caption}</caption>
    <thead><tr><th scope="col">${t("gap.from")}</th><th scope="col">${t("gap.to")}</th><th scope="col">${t("gap.length")}</th><th scope="col">${t("gap.cause")}</th></tr></thead>
    <tbody>${gaps.map((one) => html`<tr><td>${dateTime(one.start)}</td><td>${dateTime(one.end)}</td><td>${duration((one.end - one.start) / 1000)}</td><td>${causeWords(one.cause)}</td></tr>`)}</tbody></table></div>`;
}
