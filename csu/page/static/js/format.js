// Numbers, sizes, dates and durations in the page's language and the centre's time zone.

import { languageTag, t } from "./words.js";

let zone = "UTC";
const made = new Map();

/** Every date is shown in this zone. */
export function useZone(name) {
  zone = name;
}

export function currentZone() {
  return zone;
}

function cached(kind, options, make) {
  const key = `${kind} ${languageTag()} ${zone} ${JSON.stringify(options)}`;
  if (!made.has(key)) made.set(key, make());
  return made.get(key);
}

function dates(options) {
  return cached("date", options, () => new Intl.DateTimeFormat(languageTag(), { timeZone: zone, hourCycle: "h23", ...options }));
}

function numbers(options) {
  return cached("number", options, () => new Intl.NumberFormat(languageTag(), options));
}

const NOTHING = "–";

/** A number with at most so many decimals. */
export function number(value, digits = 1) {
  return Number.isFinite(value) ? numbers({ maximumFractionDigits: digits }).format(value) : NOTHING;
}

/** A number with its unit, as the language writes it. */
export function quantity(value, unit, digits = 1) {
  if (!Number.isFinite(value)) return NOTHING;
  return numbers({ style: "unit", unit, unitDisplay: "short", maximumFractionDigits: digits }).format(value);
}

export function percent(share, digits = 0) {
  return Number.isFinite(share) ? numbers({ style: "percent", maximumFractionDigits: digits }).format(share) : NOTHING;
}

const SIZES = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];

/** Bytes, in decimal multiples. */
export function bytes(size) {
  if (!Number.isFinite(size)) return NOTHING;
  const step = size < 1000 ? 0 : Math.min(SIZES.length - 1, Math.floor(Math.log10(size) / 3));
  const value = size / 1000 ** step;
  return quantity(value, SIZES[step], value < 10 && step > 1 ? 1 : 0);
}

/** Bits a second, given thousands of them. */
export function rate(kbps) {
  return kbps >= 1000 ? quantity(kbps / 1000, "megabit-per-second", 1) : quantity(kbps, "kilobit-per-second", 0);
}

const STEPS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

function brief(count, unit) {
  // French wants a space before a unit, which its narrow form leaves out.
  const unitDisplay = languageTag().startsWith("fr") ? "short" : "narrow";
  const options = { style: "unit", unit, unitDisplay, maximumFractionDigits: 1 };
  return numbers(options).format(count);
}

/** A length of time in its two largest units. */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return NOTHING;
  if (seconds > 0 && seconds < 10) return brief(seconds, "second");
  let rest = Math.round(seconds);
  const parts = [];
  for (const [unit, length] of STEPS) {
    const count = Math.floor(rest / length);
    rest -= count * length;
    if (count) parts.push([unit, count]);
    else if (parts.length) break;
    if (parts.length === 2) break;
  }
  return parts.length ? parts.map(([unit, count]) => brief(count, unit)).join(" ") : brief(0, "second");
}

/** The same in the largest unit alone, for narrow places. */
export function shortDuration(seconds) {
  const [unit, length] = STEPS.find(([, size]) => seconds >= size) ?? STEPS.at(-1);
  return brief(Math.round(seconds / length), unit);
}

const AHEAD_S = 60;

/** How long ago, in one unit; what lies ahead by more than two clocks may differ is not taken for the present. */
export function ago(seconds) {
  if (seconds < 2 && seconds > -AHEAD_S) return t("time.now");
  const [unit, length] = STEPS.find(([, size]) => Math.abs(seconds) >= size) ?? STEPS.at(-1);
  const words = cached("ago", {}, () => new Intl.RelativeTimeFormat(languageTag(), { style: "short" }));
  return words.format(-Math.trunc(seconds / length), unit);
}

const asDate = (instant) => (instant instanceof Date ? instant : new Date(instant));
const usable = (instant) => instant !== null && instant !== undefined && !Number.isNaN(asDate(instant).getTime());

function dated(instant, options) {
  return usable(instant) ? dates(options).format(asDate(instant)) : NOTHING;
}

const CLOCK = { hour: "2-digit", minute: "2-digit", second: "2-digit" };
const DAY = { day: "numeric", month: "short", year: "numeric" };

/** 14:03:22 */
export const clockTime = (instant) => dated(instant, CLOCK);
/** 14:03 */
export const shortTime = (instant) => dated(instant, { hour: "2-digit", minute: "2-digit" });
/** 14:03:22.040, for footage. */
export const exactTime = (instant) => dated(instant, { ...CLOCK, fractionalSecondDigits: 3 });
/** 22 Nov 2026, 14:03:22 */
export const dateTime = (instant) => dated(instant, { ...DAY, ...CLOCK });
/** 22 Nov 2026, 14:03:22 GMT+1 */
export const zonedTime = (instant) => dated(instant, { ...DAY, ...CLOCK, timeZoneName: "short" });
/** Sunday 22 November 2026, 14:03:22 */
export const spokenTime = (instant) => dated(instant, { weekday: "long", day: "numeric", month: "long", year: "numeric", ...CLOCK });
/** With milliseconds and zone, for evidence. */
export const evidenceTime = (instant) => dated(instant, { ...DAY, ...CLOCK, fractionalSecondDigits: 3, timeZoneName: "short" });

/** A calendar day (`YYYY-MM-DD`), whatever the zone. */
export function dayName(day, options = { weekday: "short", day: "numeric", month: "short" }) {
  const midnight = new Date(`${day}T00:00:00Z`);
  if (Number.isNaN(midnight.getTime())) return String(day);
  return cached("day", options, () => new Intl.DateTimeFormat(languageTag(), { timeZone: "UTC", ...options })).format(midnight);
}

/** Time only when it is today, with the date otherwise. */
export function nearTime(instant, now) {
  if (!usable(instant)) return NOTHING;
  return dated(instant, DAY) === dated(now, DAY) ? clockTime(instant) : dateTime(instant);
}

/** Degrees with hemisphere. */
export function coordinate(latitude, longitude, digits = 5) {
  const north = t(latitude >= 0 ? "place.north" : "place.south");
  const east = t(longitude >= 0 ? "place.east" : "place.west");
  const show = (value) => numbers({ minimumFractionDigits: digits, maximumFractionDigits: digits }).format(Math.abs(value));
  return `${show(latitude)}° ${north}, ${show(longitude)}° ${east}`;
}
