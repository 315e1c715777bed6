// Meridians and parallels with their degrees: what a plan is read by where no tiles are configured.

import { coordinateLabel, stepFor, valuesBetween } from "./graticule_steps.js";

const L = globalThis.L;
const WANTED_PX = 150;
const CORNER_PX = 48;

/** A layer of lines that follows the view. */
export const Graticule = L.LayerGroup.extend({
  onAdd(map) {
    L.LayerGroup.prototype.onAdd.call(this, map);
    if (!map.getPane("degrees")) map.createPane("degrees").classList.add("degrees-pane");
    map.on("moveend resize", this._redraw, this);
    this._redraw();
    return this;
  },

  onRemove(map) {
    map.off("moveend resize", this._redraw, this);
    return L.LayerGroup.prototype.onRemove.call(this, map);
  },

  /** After a change of language. */
  redraw() {
    if (this._map) this._redraw();
  },

  _redraw() {
    const map = this._map;
    const size = map.getSize();
    if (!size.x || !size.y) return;
    this.clearLayers();
    const bounds = map.getBounds();
    const stepLng = stepFor((bounds.getEast() - bounds.getWest()) * (WANTED_PX / size.x));
    const stepLat = stepFor((bounds.getNorth() - bounds.getSouth()) * (WANTED_PX / size.y));
    const wide = bounds.pad(0.5);
    for (const lng of valuesBetween(wide.getWest(), wide.getEast(), stepLng)) {
      this._line([[-85, lng], [85, lng]]);
      if (bounds.contains([bounds.getCenter().lat, lng])) this._label([bounds.getSouth(), lng], lng, stepLng, "lng");
    }
    for (const lat of valuesBetween(Math.max(-85, wide.getSouth()), Math.min(85, wide.getNorth()), stepLat)) {
      this._line([[lat, wide.getWest()], [lat, wide.getEast()]]);
      if (bounds.contains([lat, bounds.getCenter().lng])) this._label([lat, bounds.getEast()], lat, stepLat, "lat");
    }
  },

  _line(points) {
    this.addLayer(L.polyline(points, { className: "graticule-line", weight: 1, interactive: false, noClip: false }));
  },

  _label(point, value, step, axis) {
    const { x, y } = this._map.latLngToContainerPoint(point);
    const size = this._map.getSize();
    // Where both meet, or under the scale, they could not be read.
    const scalePx = this._map.getContainer().querySelector(".leaflet-control-scale")?.offsetWidth ?? 0;
    if (axis === "lng" ? x > size.x - CORNER_PX || x < CORNER_PX + scalePx : y > size.y - CORNER_PX || y < 12) return;
    const element = document.createElement("span");
    element.textContent = coordinateLabel(value, step, axis);
    const icon = L.divIcon({ className: `graticule-label graticule-${axis}`, html: element, iconSize: null });
    this.addLayer(L.marker(point, { icon, interactive: false, keyboard: false, pane: "degrees" }));
  },
});
