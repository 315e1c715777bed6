// Where a unit is: the place, how exact, how old, by what.

import { html, nothing } from "../packages/lit-html/lit-html.js";
import { coordinate, duration, number, quantity } from "./format.js";
import { empty, heard } from "./parts.js";
import { isPlace } from "./plan.js";
import { coded, t } from "./words.js";

/** Facts of a place, and of the position message that it came with. */
export function placeFacts(place, said) {
  const more = said?.body?.properties ?? {};
  const detail = typeof more.detail === "string" ? html`<p class="small">${more.detail}</p>` : nothing;
  if (!isPlace(place)) return html`${empty(t("place.unknown"))}${detail}`;
  const rows = [
    [t("place.coordinates"), html`<span class="figure">${coordinate(place.latitude_deg, place.longitude_deg)}</span>`],
    [t("place.accuracy"), Number.isFinite(place.accuracy_m) ? t("place.within", { distance: quantity(place.accuracy_m, "meter", 0) }) : t("unknown")],
    [t("place.fix"), coded("fix", place.fix)],
    [t("place.measured"), place.fixed_at ? heard(place.fixed_at) : t("place.settings")],
    [t("place.source"), coded("place.source", place.source)],
  ];
  if (Number.isFinite(place.altitude_m)) rows.push([t("place.altitude"), quantity(place.altitude_m, "meter", 0)]);
  if (Number.isFinite(more.satellites_used)) rows.push([t("place.satellites"), t("place.satellites.of", { used: number(more.satellites_used, 0), seen: number(more.satellites_seen ?? NaN, 0) })]);
  if (Number.isFinite(more.speed_mps)) rows.push([t("place.speed"), quantity(more.speed_mps, "meter-per-second", 1)]);
  return html`${place.last_known ? html`<p class="note-line">${t("place.last_known.words", { age: Number.isFinite(more.age_s) ? duration(more.age_s) : "–" })}</p>` : nothing}
    <dl class="facts">${rows.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
    ${detail}`;
}
