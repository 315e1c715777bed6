// A plan of units: their signs at their places, those that lie on one another as one sign with their number.

import { html, nothing, render } from "../packages/lit-html/lit-html.js";
import { Graticule } from "./graticule.js";
import { sign } from "./icons.js";
import { shownStanding, standingWords } from "./parts.js";
import { nameGroups } from "./plan_names.js";
import { RANK, inOrder, state } from "./store.js";
import { t } from "./words.js";

const L = globalThis.L;
const NEAR_PX = 30;
const CONTROLS_PX = 56;
const MAX_ZOOM = 19;
const FRANCE = [[42.3, -4.8], [51.1, 8.2]];

const still = () => globalThis.matchMedia("(prefers-reduced-motion: reduce)").matches;

/**
 * Units whose signs would lie on one another, together, the worst of each group first. Who belongs together depends on
 * places and names alone, so that a sign stays when only its standing changes.
 */
export function groupsOf(units, pointOf, nearPx) {
  const groups = [];
  for (const unit of [...units].sort((a, b) => (a.unit_id < b.unit_id ? -1 : 1))) {
    const point = pointOf(unit);
    // A sign with a number is wider than it is high.
    const group = groups.find(({ point: { x, y } }) => Math.abs(x - point.x) < nearPx * 1.6 && Math.abs(y - point.y) < nearPx);
    if (group) group.units.push(unit);
    else groups.push({ point, place: unit.place, units: [unit] });
  }
  for (const group of groups) if (group.units.length > 1) group.units = inOrder(group.units);
  return groups;
}

export class Plan {
  #map;
  #graticule;
  #markers = new Map();
  #units = [];
  #fitted = false;
  #moved = false;
  #circle = null;
  #resize;
  /** How much larger signs and controls are than with text of 16 px. */
  #scale = 1;

  /** `onPick(units, element)` is told which sign was chosen; without it signs are not for choosing. */
  constructor(element, { onPick = null, label = "" } = {}) {
    this.onPick = onPick;
    const motion = !still();
    this.#map = L.map(element, {
      attributionControl: false, zoomControl: false, maxZoom: MAX_ZOOM, worldCopyJump: false, zoomSnap: 0.5,
      zoomAnimation: motion, fadeAnimation: motion, markerZoomAnimation: motion, inertia: motion,
    });
    element.setAttribute("role", "application"); // arrow keys, + and − are the plan's own
    element.setAttribute("aria-label", t("plan.keys", { plan: label }));
    this.#map.fitBounds(FRANCE);
    this.#ground();
    this.#controls();
    this.#map.on("moveend", () => this.#place()); // comes after a change of scale too
    for (const kind of ["pointerdown", "wheel", "keydown"]) element.addEventListener(kind, () => (this.#moved = true), { passive: true, capture: true });
    this.#resize = new ResizeObserver(() => this.#resized());
    this.#resize.observe(element);
  }

  #ground() {
    const { tile_url: tiles, tile_attribution: words } = state.page;
    if (tiles) {
      const layer = L.tileLayer(tiles, { maxZoom: MAX_ZOOM, crossOrigin: null }).addTo(this.#map);
      layer.on("tileload tileerror load", () => this.#chooseGround(layer.getContainer()));
      const plain = document.createElement("span");
      plain.textContent = words ?? "";
      if (words) L.control.attribution({ prefix: false }).addTo(this.#map).addAttribution(plain.innerHTML);
    }
    L.control.scale({ imperial: false, maxWidth: 160 }).addTo(this.#map); // the graticule leaves room for it
    this.#graticule = new Graticule();
    this.#graticule.addTo(this.#map);
  }

  /** Degrees where no tile is shown: none is configured, or none comes. */
  #chooseGround(tiles) {
    const some = [...tiles.querySelectorAll("img")].some((tile) => tile.complete && tile.naturalWidth > 0);
    if (some === this.#map.hasLayer(this.#graticule)) this.#map[some ? "removeLayer" : "addLayer"](this.#graticule);
  }

  #controls() {
    const zoom = L.control.zoom({ zoomInTitle: t("plan.in"), zoomOutTitle: t("plan.out") }).addTo(this.#map);
    const fit = document.createElement("a");
    Object.assign(fit, { href: "#", title: t("plan.fit"), className: "leaflet-control-fit", textContent: "⤢" });
    fit.setAttribute("role", "button");
    fit.setAttribute("aria-label", t("plan.fit"));
    L.DomEvent.disableClickPropagation(fit);
    fit.addEventListener("click", (event) => {
      event.preventDefault();
      this.fit();
      this.#moved = false;
    });
    zoom.getContainer().append(fit);
  }

  #resized() {
    this.#map.invalidateSize({ animate: false });
    this.#scale = Math.max(1, parseFloat(getComputedStyle(document.documentElement).fontSize) / 16);
    this.#graticule.redraw();
    if (!this.#moved) this.fit();
  }

  get #nearPx() {
    return NEAR_PX * this.#scale;
  }

  /** Shows these units; those without a place are left out. */
  show(units) {
    this.#units = units.filter((unit) => isPlace(unit.place));
    if (this.#fitted || !this.fit()) this.#place();
  }

  /** All units into view, and placed there by the map's `moveend`; false when there is nothing to see yet. */
  fit() {
    if (!this.#units.length || !this.#map.getSize().x) return false;
    const bounds = L.latLngBounds(this.#units.map(({ place }) => [place.latitude_deg, place.longitude_deg]));
    const room = (left, above) => [left * this.#scale, above * this.#scale]; // those at the left and below are the controls'
    this.#map.fitBounds(bounds, { paddingTopLeft: room(CONTROLS_PX + 20, 30), paddingBottomRight: room(36, 56), maxZoom: 16, animate: false });
    return (this.#fitted = true);
  }

  /** Around the one unit that is shown, how far its place may be wrong. */
  showAccuracy(place) {
    this.#circle?.remove();
    this.#circle = null;
    if (!isPlace(place) || !place.accuracy_m) return;
    const point = [place.latitude_deg, place.longitude_deg];
    this.#circle = L.circle(point, { radius: place.accuracy_m, className: "accuracy", interactive: false }).addTo(this.#map);
  }

  /** What a change of language or of currency changes. */
  redraw() {
    this.#graticule.redraw();
    this.#place();
  }

  close() {
    this.#resize.disconnect();
    this.#map.remove();
  }

  #place() {
    const pointOf = ({ place }) => this.#map.project([place.latitude_deg, place.longitude_deg]);
    const groups = groupsOf(this.#units, pointOf, this.#nearPx);
    const shown = new Set();
    const { min, max } = this.#map.getPixelBounds();
    nameGroups(groups, this.#nearPx, { left: min.x + CONTROLS_PX * this.#scale, right: max.x });
    for (const group of groups) {
      const key = group.units.map((unit) => unit.unit_id).sort().join(" ");
      shown.add(key);
      this.#mark(key, group);
    }
    for (const [key, { marker }] of this.#markers) {
      if (shown.has(key)) continue;
      marker.remove();
      this.#markers.delete(key);
    }
  }

  #mark(key, { units, place: at, name, side }) {
    const [worst] = units;
    const place = [at.latitude_deg, at.longitude_deg];
    const known = this.#markers.get(key) ?? this.#addMarker(key, place);
    known.units = units;
    if (!known.marker.getLatLng().equals(place)) known.marker.setLatLng(place);
    const label = labelOf(units);
    if (known.label === label && known.name === name && known.side === side) return;
    Object.assign(known, { label, name, side });
    known.element.dataset.standing = shownStanding(worst);
    render(html`<span class="plan-sign">${sign(shownStanding(worst))}${units.length > 1 ? html`<b>${units.length}</b>` : nothing}</span>${name ? html`<span class="plan-name" data-side=${side}>${name}</span>` : nothing}`, known.element);
    known.marker.getElement()?.setAttribute("aria-label", label);
    known.marker.setZIndexOffset(1000 * (RANK.length - RANK.indexOf(worst.standing)));
    known.marker.getTooltip()?.setContent(tooltip(label));
  }

  #addMarker(key, place) {
    const element = document.createElement("span");
    element.className = "plan-unit";
    const icon = L.divIcon({ className: "plan-mark", html: element, iconSize: null });
    const marker = L.marker(place, { icon, keyboard: Boolean(this.onPick), interactive: Boolean(this.onPick), riseOnHover: true });
    marker.addTo(this.#map);
    marker.bindTooltip(tooltip(""), { direction: "top", offset: [0, -14] });
    const known = { marker, element, units: [], label: null, name: null };
    if (!this.onPick) marker.getElement().setAttribute("role", "img");
    const pick = () => this.onPick?.(known.units, marker.getElement());
    marker.on("click", pick);
    marker.getElement().addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return; // Leaflet itself takes Enter for popups only
      event.preventDefault();
      pick();
    });
    this.#markers.set(key, known);
    return known;
  }
}

/** Whether a place can be drawn. */
export function isPlace(place) {
  return Number.isFinite(place?.latitude_deg) && Number.isFinite(place?.longitude_deg)
    && Math.abs(place.latitude_deg) <= 90 && Math.abs(place.longitude_deg) <= 180;
}

function labelOf(units) {
  const [worst] = units;
  const words = { unit: worst.unit_id, standing: standingWords(worst) };
  const one = t("plan.unit", words) + (worst.place.last_known ? ` – ${t("place.last_known")}` : "");
  return units.length === 1 ? one : t("plan.units", { ...words, count: units.length });
}

/** An element, so that nothing that a unit says is read as HTML. */
function tooltip(text) {
  const element = document.createElement("span");
  element.textContent = text;
  return element;
}

