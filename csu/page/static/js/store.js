// What the page knows of the fleet, and who is told when that changes.

export const RANK = ["trouble", "lost", "unheard", "warning", "ok"];

export const state = {
  page: { software_version: "", zone: "UTC" },
  connection: "connecting",
  lostAt: null,
  brokerConnected: true,
  units: new Map(),
  alarms: null,
  ready: false,
};

let skewMs = 0;
const frames = { asked: false, last: 0, draw: () => undefined };
const LEAST_PAUSE_MS = 50;
const byName = new Intl.Collator("en", { numeric: true });

/** The centre's time, as well as its last word on it tells: this machine's clock may be wrong. */
export function now() {
  return Date.now() + skewMs;
}

/** Who draws. */
export function whenChanged(draw) {
  frames.draw = draw;
}

/** Draws with the next frame, once however often it was asked for, and in a storm no more than 20 times a second. */
export function changed() {
  if (frames.asked) return;
  frames.asked = true;
  const draw = () => {
    if (!frames.asked) return;
    frames.asked = false;
    frames.draw();
    frames.last = performance.now();
  };
  const pause = frames.last + LEAST_PAUSE_MS - performance.now();
  if (document.visibilityState === "hidden") setTimeout(draw, 100); // no frames come while nobody looks
  else if (pause > 0) setTimeout(() => requestAnimationFrame(draw), pause);
  else requestAnimationFrame(draw);
}

/** Whether what is shown is what the centre knows now. */
export function isCurrent() {
  return state.connection === "live";
}

export function setConnection(connection) {
  if (connection === state.connection) return;
  if (state.connection === "live") state.lostAt = Date.now() + skewMs;
  state.connection = connection;
  document.documentElement.dataset.connection = connection;
  changed();
}

/** A whole fleet: units that it does not name are gone. */
export function takeFleet(fleet) {
  skewMs = Date.parse(fleet.at) - Date.now() || 0;
  state.brokerConnected = fleet.broker_connected;
  state.units = new Map(fleet.units.map((unit) => [unit.unit_id, unit]));
  state.ready = true;
  changed();
}

export function takeUnit(unit) {
  state.units.set(unit.unit_id, unit);
  changed();
}

/** A unit that was shut out. */
export function dropUnit(unitId) {
  state.units.delete(unitId);
  changed();
}

export function takeService(service) {
  state.brokerConnected = service.broker_connected;
  changed();
}

const rankOf = (unit) => {
  const rank = RANK.indexOf(unit.standing);
  return rank < 0 ? 0 : rank; // a standing that is unknown here is no reason for calm
};

/** Trouble first; then who waits for an acknowledgement; then by name. */
export function inOrder(units) {
  return [...units].sort(
    (a, b) =>
      rankOf(a) - rankOf(b) ||
      (b.unacknowledged_alarms ?? 0) - (a.unacknowledged_alarms ?? 0) ||
      byName.compare(a.unit_id, b.unit_id),
  );
}

/** Lost, or never heard. */
export function isUnheard(unit) {
  return unit.standing === "lost" || unit.standing === "unheard";
}

/** One camera, at least, does not record, or nobody can say that it does. */
export function mayNotRecord(unit) {
  if (typeof unit.not_recording === "boolean") return unit.not_recording;
  const cameras = unit.cameras ?? [];
  return isUnheard(unit) || cameras.length === 0 || cameras.some((camera) => camera.recording !== true);
}

/** Open alarms, the centre's own among them. */
export function takeAlarms(alarms) {
  state.alarms = new Map(alarms.map((alarm) => [alarm.alarm_id, alarm]));
  changed();
}

/** One that changed; what is over and acknowledged is counted nowhere. */
export function takeAlarm(alarm) {
  if (alarm.cleared_at && alarm.acknowledged_at) state.alarms?.delete(alarm.alarm_id);
  else state.alarms?.set(alarm.alarm_id, alarm);
  changed();
}

/**
 * How many alarms nobody has acknowledged. A unit's own figure has those that are over, too, which `alarms` lacks until
 * one is heard; the centre's own are in `alarms` alone.
 */
export function waitingAlarms() {
  const counts = new Map();
  for (const alarm of state.alarms?.values() ?? []) if (!alarm.acknowledged_at) counts.set(alarm.unit_id, (counts.get(alarm.unit_id) ?? 0) + 1);
  for (const { unit_id: unit, unacknowledged_alarms: said = 0 } of state.units.values()) counts.set(unit, Math.max(said, counts.get(unit) ?? 0));
  return [...counts.values()].reduce((sum, count) => sum + count, 0);
}
