// Local time of a zone and the instants that it stands for; an hour may come twice a year, and one may not come at all.

const DAY_MS = 86_400_000;
const formats = new Map();

function fields(zone) {
  if (!formats.has(zone)) {
    const options = { timeZone: zone, hourCycle: "h23", year: "numeric", month: "2-digit", day: "2-digit",
      hour: "2-digit", minute: "2-digit", second: "2-digit" };
    formats.set(zone, new Intl.DateTimeFormat("en-GB", options));
  }
  return formats.get(zone);
}

/** What a clock on the wall of that zone shows at an instant, as if it were UTC; milliseconds. */
function wallAt(instantMs, zone) {
  const parts = Object.fromEntries(fields(zone).formatToParts(instantMs).map((part) => [part.type, Number(part.value)]));
  const whole = Date.UTC(parts.year, parts.month - 1, parts.day, parts.hour, parts.minute, parts.second);
  return whole + (((instantMs % 1000) + 1000) % 1000);
}

/** Milliseconds by which the zone is ahead of UTC at an instant. */
export function offsetAt(instantMs, zone) {
  return wallAt(instantMs, zone) - instantMs;
}

/** `2026-11-22T14:03:22` of an instant in a zone, as a datetime-local field wants it. */
export function toLocal(instantMs, zone) {
  return new Date(wallAt(instantMs, zone)).toISOString().slice(0, 19);
}

/** All instants at which the zone's clocks show that local time, earliest first: none, one or two. */
export function instantsOf(local, zone) {
  const wall = Date.parse(`${local}Z`);
  if (Number.isNaN(wall)) return [];
  const offsets = new Set([offsetAt(wall - DAY_MS, zone), offsetAt(wall + DAY_MS, zone)]);
  const instants = [...offsets].map((offset) => wall - offset);
  return instants.filter((instant) => wallAt(instant, zone) === wall).sort((a, b) => a - b);
}

/** Around a local time that does not come: when the clocks are put forward, in milliseconds since 1970. */
export function changeNear(local, zone) {
  const wall = Date.parse(`${local}Z`);
  let before = wall - DAY_MS;
  let after = wall + DAY_MS;
  const offset = offsetAt(before, zone);
  while (after - before > 1000) {
    const middle = Math.floor((before + after) / 2);
    if (offsetAt(middle, zone) === offset) before = middle;
    else after = middle;
  }
  return Math.round(after / 1000) * 1000;
}

/** `UTC+02:00` */
export function offsetName(instantMs, zone) {
  const minutes = Math.round(offsetAt(instantMs, zone) / 60_000);
  const size = Math.abs(minutes);
  const pad = (value) => String(value).padStart(2, "0");
  return `UTC${minutes < 0 ? "−" : "+"}${pad(Math.floor(size / 60))}:${pad(size % 60)}`;
}

/** The calendar day of an instant in a zone. */
export function dayOf(instantMs, zone) {
  return toLocal(instantMs, zone).slice(0, 10);
}
