"""An hour without a network, in real traffic shape: what arrives afterwards, when, and in what order.

    python -m benchmarks.offline_hour [--length 3600] [--away 3000] [--kbit 256] [--delay 150] [--json FILE]

A whole unit (`edge-agent run`), a real mosquitto and `csu serve` stand on two sides of a mobile network made of name
spaces (`tests.support.road`): tc-tbf(8) at 256 kbit/s with a deep queue, and a delay. For most of the time its router
swallows every packet, so that nobody is told that the line is gone. Meanwhile recorders hang and come back, a clip is
due, and the centre asks for another one. Afterwards everything has to be at the centre: complete, in order, in time.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.offline_rig import HANG_S, Arrival, Plan, Rig, now_us, open_rig
from edge_agent.clock import SystemClock
from edge_agent.contract.times import parse_utc
from tests.support.polling import wait_until
from tests.support.processes import Processes

RETURN_BOUND_S = 600.0
SAMPLE_S = 300.0
"""Health is kept so finely for a day."""


@dataclass(frozen=True, slots=True)
class Story:
    """What happened, in instants of the wall clock, µs.

    Attributes:
        cut_us: the line went.
        mended_us: it came back.
        hangs: how often the recorder hung meanwhile.
        due: a clip whose footage was not complete yet when the line went.
        asked: a clip that the centre asked for meanwhile.
    """

    cut_us: int
    mended_us: int
    hangs: int
    due: str
    asked: str


def live_through(rig: Rig, plan: Plan) -> Story:
    """Let the time pass and things happen."""
    clock = SystemClock()
    clock.sleep(max(plan.length_s - plan.away_s, 5.0) / 2)
    due = rig.ask_clip(now_us() - 10_000_000, now_us() + 20_000_000)
    wait_until(lambda: _reply(rig, due, "accepted"), what="the first clip's acceptance", timeout_s=60)
    cut_us = now_us()
    rig.cut()
    asked, hangs = "", 0
    while (left_s := plan.away_s - (now_us() - cut_us) / 1e6) > 0:
        if not asked and left_s < plan.away_s / 2:
            asked = rig.ask_clip(cut_us - 5_000_000, cut_us - 1_000_000)
        if left_s > HANG_S + 15 and (now_us() - cut_us) / 1e6 >= hangs * plan.hang_every_s:
            rig.hang_recorder()
            hangs += 1
        else:
            clock.sleep(min(left_s, 1.0))
    rig.mend()
    return Story(cut_us, now_us(), hangs, due, asked)


def _reply(rig: Rig, command_id: str, *states: str) -> list[Arrival]:
    return [
        one
        for one in rig.watcher.named("reply")
        if (one.body["command_id"], one.body["state"]) in {(command_id, state) for state in states}
    ]


def wait_all(rig: Rig, story: Story) -> float:
    """Wait until nothing waits on the unit any more and both clips are delivered; seconds that the first took."""
    final = ("done", "failed", "rejected")
    bound_s = RETURN_BOUND_S
    wait_until(lambda: not any(rig.waiting().values()), what="an empty outbox", timeout_s=bound_s)
    emptied_s = (now_us() - story.mended_us) / 1e6
    for command_id in (story.due, story.asked):
        wait_until(lambda: _reply(rig, command_id, *final), what="the end of a clip", timeout_s=bound_s)  # noqa: B023 -- awaited here
    return emptied_s


def check(rig: Rig, plan: Plan, story: Story) -> list[str]:
    """What is wrong with what arrived; empty when all is well."""
    after = [one for one in rig.watcher.arrivals if one.at_us >= story.mended_us]
    backlog = [one for one in after if _said_us(one) < story.mended_us]
    problems = [*_order_problems(after, backlog), *_event_problems(rig, story), *_history_problems(rig, plan, story)]
    problems += [f"clip {one} is not done" for one in (story.due, story.asked) if not _reply(rig, one, "done")]
    statuses = [one for one in rig.watcher.named("status", story.cut_us) if one.at_us < story.mended_us]
    if not any(one.body["state"] == "offline" for one in statuses):
        problems.append("the centre was not told that the unit is gone")
    return problems


def _said_us(arrival: Arrival) -> int:
    """When the unit noted it; of a batch, its last sample."""
    samples = arrival.body.get("samples") or [arrival.body]
    return parse_utc(samples[-1]["at"]) if "at" in samples[-1] else sys.maxsize


def _order_problems(after: list[Arrival], backlog: list[Arrival]) -> list[str]:
    problems = []
    if not after or (after[0].name, after[0].body.get("state")) != ("status", "online"):
        first = f"{after[0].name} {after[0].body.get('state', '')}".strip() if after else "none"
        problems.append(f"the first message is {first!r}, not the status of a unit that is online")
    ranks = {"event": 1, "history": 2}
    order = [ranks[one.name] for one in backlog if one.name in ranks]
    if order != sorted(order):
        problems.append("history came before events")
    replies = [one.at_us for one in after if one.name == "reply"]
    events = [one.at_us for one in backlog if one.name == "event"]
    if not replies or (events and min(replies) > min(events)):
        problems.append("no reply came before the events")
    for name in ("event", "history"):
        instants = [_said_us(one) for one in backlog if one.name == name]
        if instants != sorted(instants):
            problems.append(f"{name}: not in order")
    return problems


def _event_problems(rig: Rig, story: Story) -> list[str]:
    events = {one.body["event_id"]: one.body for one in rig.watcher.named("event", story.mended_us)}
    counts = Counter((body["name"], body["state"]) for body in events.values())
    name = "recorder-unavailable"
    wanted = {(name, "raised"): story.hangs, (name, "cleared"): story.hangs}
    return [f"{key}: {counts[key]} of {count}" for key, count in wanted.items() if counts[key] < count]


def _history_problems(rig: Rig, plan: Plan, story: Story) -> list[str]:
    batches = {one.body["history_id"]: one.body for one in rig.watcher.named("history", story.cut_us)}
    instants = [parse_utc(sample["at"]) for body in batches.values() for sample in body["samples"]]
    problems = []
    if len(set(instants)) != len(instants):
        problems.append("history: a sample came twice")
    marks = [story.cut_us, *sorted(instants), story.mended_us]
    longest_s = max(later - earlier for earlier, later in pairwise(marks)) / 1e6
    allowed_s = SAMPLE_S + 2 * plan.keepalive_s + 120
    if longest_s > allowed_s:
        problems.append(f"history: nothing for {longest_s:.0f} s")
    told = {sample["at"] for body in batches.values() for sample in body["samples"]}
    if not told <= set(rig.kept_at_centre(story.cut_us - 60_000_000)):
        problems.append("history: the centre does not keep all of it")
    if any(body["left_out"] for body in batches.values()):
        problems.append("history: samples were left out")
    return problems


def summarise(rig: Rig, story: Story, emptied_s: float) -> dict[str, Any]:
    """What arrived after the return: by topic how many, how many bytes, from when to when."""
    after = [one for one in rig.watcher.arrivals if one.at_us >= story.mended_us]
    topics = {}
    for name in dict.fromkeys(one.name for one in after):
        named = [one for one in after if one.name == name]
        topics[name] = {
            "messages": len(named),
            "bytes": sum(one.size_bytes for one in named),
            "first_s": round((named[0].at_us - story.mended_us) / 1e6, 2),
            "last_s": round((named[-1].at_us - story.mended_us) / 1e6, 2),
        }
    gone = [one.at_us for one in rig.watcher.named("status", story.cut_us) if one.body["state"] == "offline"]
    return {
        "away_s": round((story.mended_us - story.cut_us) / 1e6, 1),
        "shown_offline_after_s": round((gone[0] - story.cut_us) / 1e6, 1) if gone else None,
        "hangs": story.hangs,
        "outbox_empty_after_s": round(emptied_s, 1),
        "topics_in_order_of_arrival": topics,
    }


def run(directory: Path, plan: Plan) -> tuple[dict[str, Any], list[str]]:
    """The figures, and what is wrong with them."""
    processes = Processes()
    try:
        with open_rig(directory, processes, plan) as rig:
            story = live_through(rig, plan)
            emptied_s = wait_all(rig, story)
            return summarise(rig, story, emptied_s), check(rig, plan, story)
    finally:
        processes.kill_all()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; 1 when something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.offline_hour")
    parser.add_argument("--length", type=float, default=3600.0, help="seconds in all (default: %(default)g)")
    parser.add_argument("--away", type=float, help="seconds of it without the line (default: all but ten minutes)")
    parser.add_argument("--kbit", type=int, default=256, help="rate of the unit's uplink (default: %(default)s)")
    parser.add_argument("--delay", type=float, default=150.0, help="ms in each direction (default: %(default)g)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args(arguments)
    away_s = options.length - 600 if options.away is None else options.away
    begun_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="offline-hour-") as directory:
        plan = Plan(options.length, away_s, options.kbit, options.delay)
        figures, problems = run(Path(directory), plan)
    figures |= {"took_s": round(time.monotonic() - begun_s), "problems": problems}
    text = json.dumps(figures, indent=2)
    print(text)
    if options.json is not None:
        options.json.write_text(text + "\n", encoding="utf-8")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
