// Which degrees a graticule shows, and how they are written.

import { number } from "./format.js";
import { t } from "./words.js";

const NICE = [1, 2, 5];

/** The smallest of 1, 2, 5 times a power of ten that is not below so many degrees. */
export function stepFor(degrees) {
  const power = 10 ** Math.floor(Math.log10(Math.max(degrees, 1e-6)));
  return Math.min(30, (NICE.find((factor) => factor * power >= degrees) ?? 10) * power);
}

/** Multiples of the step between two values, at most a hundred. */
export function valuesBetween(from, to, step) {
  const first = Math.ceil(from / step);
  const count = Math.min(100, Math.floor(to / step) - first + 1);
  return Array.from({ length: Math.max(0, count) }, (_, index) => (first + index) * step);
}

/** Degrees with hemisphere and as many decimals as the step has. */
export function coordinateLabel(value, step, axis) {
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const round = Math.abs(value) < step / 1000 ? 0 : value;
  const hemisphere = axis === "lat" ? (round < 0 ? "place.south" : "place.north") : round < 0 ? "place.west" : "place.east";
  return `${number(Math.abs(round), digits)}° ${t(hemisphere)}`;
}
