// Which signs of a plan carry a name: those in trouble or lost always, others where there is room beside them.

import { RANK } from "./store.js";

const LOUD = new Set(["trouble", "lost"]);
const CHARACTER = 0.33;
const HALF_HEIGHT = 0.4;

/** Boxes in units of the distance at which signs would touch. */
function boxOf({ point, units }, near) {
  const [x, y] = [point.x / near, point.y / near];
  const sign = { left: x - 0.6, right: x + 0.6, top: y - 0.55, bottom: y + 0.55 };
  const name = { left: x + 0.6, right: x + 0.9 + units[0].unit_id.length * CHARACTER, top: y - HALF_HEIGHT, bottom: y + HALF_HEIGHT };
  return { sign, name };
}

function meet(a, b) {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}

/** Gives each group its `name`, or an empty one; the worst are served first. */
export function nameGroups(groups, near) {
  const boxes = new Map(groups.map((group) => [group, boxOf(group, near)]));
  const signs = [...boxes.values()].map(({ sign }) => sign);
  const taken = [];
  for (const group of [...groups].sort((a, b) => RANK.indexOf(a.units[0].standing) - RANK.indexOf(b.units[0].standing))) {
    const [worst] = group.units;
    const { sign, name } = boxes.get(group);
    const free = ![...signs, ...taken].some((other) => other !== sign && meet(other, name));
    const loud = LOUD.has(worst.standing);
    group.name = loud || (free && group.units.length === 1) ? worst.unit_id : "";
    if (group.name) taken.push(name);
  }
}
