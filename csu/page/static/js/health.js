// Health in words and figures: each figure with its unit, and whether it is beyond a limit.

import { html, nothing } from "../packages/lit-html/lit-html.js";
import { bytes, clockTime, duration, number, percent, quantity, rate } from "./format.js";
import { causeWords, empty, figureName, heard, probeBadge, saidAt } from "./parts.js";
import { coded, t } from "./words.js";

const PROBES = ["camera", "storage", "network", "clock", "system", "power"];
const APART = new Set(["state", "judged", "cameras", "interfaces", "processes", "warnings", "detail", "cause", "recording", "storage_ok", "read_only"]);

// A figure may be anything: the contract lets units add some, and what has another kind is left out.
const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const objectOf = (value) => (isObject(value) ? value : {});
const listOf = (value) => (Array.isArray(value) ? value : []);
const textsOf = (value) => listOf(value).filter((one) => typeof one === "string");
const judgedOf = ({ judged }) => new Map(Object.entries(objectOf(judged)).filter(([, state]) => typeof state === "string"));

/** By the end of a figure's name, which says its unit. */
const UNITS = [
  ["_bytes", bytes],
  ["_kbps", rate],
  ["_share", (value) => percent(value, 0)],
  ["_ms", (value) => quantity(value, "millisecond", value < 10 ? 1 : 0)],
  ["_age_s", duration],
  ["_s", duration],
  ["_c", (value) => quantity(value, "celsius", 1)],
  ["_px", (value) => `${number(value, 0)} px`],
  ["_percent", (value) => percent(value / 100, 0)],
  ["_mV", (value) => `${number(value / 1000, 2)} V`],
  ["days_that_fit", (value) => quantity(value, "day", 1)],
  ["frames_per_second", (value) => t("figure.fps", { value: number(value, 1) })],
];

/** A figure with its unit. */
export function figureText(name, value) {
  if (typeof value === "boolean") return t(value ? "yes" : "no");
  if (typeof value === "string") return /^\d{4}-\d\d-\d\dT/.test(value) ? clockTime(value) : coded("value", value);
  if (typeof value !== "number") return "–";
  const [, show] = UNITS.find(([end]) => name.endsWith(end)) ?? [null, (plain) => number(plain, 2)];
  return show(value);
}

/** All of a probe's plain figures; those beyond a limit say so. */
function figures(probe) {
  const judged = judgedOf(probe);
  const rows = Object.entries(probe).filter(([name, value]) => !APART.has(name) && ["number", "boolean", "string"].includes(typeof value));
  if (!rows.length) return nothing;
  return html`<table class="figures"><tbody>${rows.map(([name, value]) => html`<tr data-state=${judged.get(name) ?? "ok"}><th scope="row">${figureName(name)}</th><td class="figure">${figureText(name, value)}</td><td>${judged.has(name) ? probeBadge(judged.get(name)) : nothing}</td></tr>`)}</tbody></table>`;
}

function cameras(probe) {
  return Object.entries(objectOf(probe.cameras)).map(([name, said]) => [name, objectOf(said)]).map(([name, one]) => html`<div class="sub-probe"><h4>${name}</h4> ${probeBadge(one.state)}
    <p>${recordingWords(one)}</p>${typeof one.detail === "string" ? html`<p class="small">${one.detail}</p>` : nothing}
    ${textsOf(one.warnings).map((warning) => html`<p class="small">${coded("camera.warning", warning)}</p>`)}
    <details><summary>${t("health.figures")}</summary>${figures(one)}</details></div>`);
}

function recordingWords(camera) {
  if (camera.recording === true) return t("camera.records", { rate: rate(camera.bitrate_kbps ?? NaN), frames: number(camera.frames_per_second ?? NaN, 1) });
  if (camera.recording === false) return camera.cause ? t("camera.stopped.cause", { cause: causeWords(camera.cause) }) : t("camera.stopped");
  return t("camera.unsure");
}

function named(list, words) {
  const found = listOf(list).filter(isObject);
  if (!found.length) return nothing;
  return html`<details><summary>${words}</summary>${found.map((one) => html`<div class="sub-probe"><h4>${typeof one.name === "string" ? one.name : "–"}</h4>${figures({ ...one, name: undefined, state: undefined })}</div>`)}</details>`;
}

/** One sentence on what a probe found. */
function sentence(name, probe) {
  const values = Object.fromEntries(Object.entries(probe).filter(([, value]) => typeof value !== "object").map(([key, value]) => [key, figureText(key, value)]));
  const needs = { storage: "days_that_fit", network: "round_trip_ms", clock: "clock_bound_ms", system: "uptime_s" }[name];
  if (probe.state === "unknown") return t(name === "clock" ? "health.unknown.clock" : "health.unknown");
  return needs && needs in probe ? t(`health.${name}`, values) : nothing;
}

function probeSection(name, probe) {
  const found = figures(probe);
  return html`<section class="probe" aria-label=${t(`probe.${name}`)}><div class="probe-head"><h3>${t(`probe.${name}`)}</h3>${probeBadge(probe.state)}</div>
    <p>${sentence(name, probe)}</p>${cameras(probe)}
    ${found === nothing ? nothing : html`<details ?open=${judgedOf(probe).size > 0}><summary>${t("health.figures")}</summary>${found}</details>`}
    ${named(probe.interfaces, t("health.interfaces"))}${named(probe.processes, t("health.processes"))}</section>`;
}

/** What the unit said last of its health. */
export function healthSection(said, actions = nothing) {
  if (!isObject(said?.body)) return html`${empty(t("health.none"))}${actions}`;
  return html`<p class="as-of">${t("as-of")} ${heard(saidAt(said))} ${actions}</p>
    ${PROBES.filter((name) => isObject(said.body[name])).map((name) => probeSection(name, said.body[name]))}`;
}
