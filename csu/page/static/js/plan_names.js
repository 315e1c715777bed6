// Which signs of a plan carry a name: those in trouble or lost always, others where there is room beside them.

import { RANK } from "./store.js";

const LOUD = new Set(["trouble", "lost"]);
const CHARACTER = 0.33;
const HALF_HEIGHT = 0.4;

/** Boxes in units of the distance at which signs would touch: the sign's own, and its name's on either side. */
function boxesOf({ point, units }, near) {
  const [x, y] = [point.x / near, point.y / near];
  const half = units.length > 1 ? 0.95 : 0.6;
  const long = 0.3 + units[0].unit_id.length * CHARACTER;
  const [top, bottom] = [y - HALF_HEIGHT, y + HALF_HEIGHT];
  return {
    sign: { left: x - half, right: x + half, top: y - 0.55, bottom: y + 0.55 },
    right: { left: x + half, right: x + half + long, top, bottom },
    left: { left: x - half - long, right: x - half, top, bottom },
  };
}

function meet(a, b) {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}

/** Gives each group its `name`, or an empty one, and its `side` within the view; the worst are served first. */
export function nameGroups(groups, near, view) {
  const boxes = new Map(groups.map((group) => [group, boxesOf(group, near)]));
  const taken = [...boxes.values()].map(({ sign }) => sign);
  for (const group of [...groups].sort((a, b) => RANK.indexOf(a.units[0].standing) - RANK.indexOf(b.units[0].standing))) {
    const [worst] = group.units;
    const box = boxes.get(group);
    const inside = ["right", "left"].filter((one) => box[one].left * near >= view.left && box[one].right * near <= view.right);
    const side = inside.find((one) => !taken.some((other) => other !== box.sign && meet(other, box[one])));
    const named = LOUD.has(worst.standing) || (side && group.units.length === 1);
    Object.assign(group, { name: named ? worst.unit_id : "", side: side ?? inside[0] ?? "right" });
    if (named) taken.push(box[group.side]);
  }
}
