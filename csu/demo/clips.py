"""Clips of a demonstration, asked for with the commands that an operator would type."""

from collections.abc import Sequence
from pathlib import Path

from csu.cli import main as csu_main
from csu.demo.footage import Interval
from csu.demo.stage import Stage
from csu.demo.unit import CAMERA, DemoUnit
from csu.errors import DemoError
from edge_agent.contract.times import format_utc

_REASON = ("--reference", "DEMO-1", "--purpose", "demonstration")
_LIFETIME_S = 3600


def fetch(stage: Stage, unit: DemoUnit, asked: Interval, is_only: bool) -> Path:
    """Ask for an interval and wait for it; the folder that it lies in.

    Raises:
        DemoError: it did not arrive, or is not verified.
    """
    start, end = map(format_utc, asked)
    folder = _folder(stage, unit, end, is_only)
    words = ["clip", unit.unit_id, "--camera", CAMERA, "--from", start, "--to", end, *_REASON]
    stage.say("asking for a clip over MQTT, as an operator would:")
    _run(stage, [*words, "-o", str(folder)], ["--operator", "demo"])
    stage.say(f"the clip lies in {folder}")
    return folder


def ask(stage: Stage, unit: DemoUnit, asked: Interval) -> str:
    """Ask for an interval without waiting; the clip's id."""
    params = {"camera": CAMERA, "from": format_utc(asked[0]), "to": format_utc(asked[1])}
    order = {"unit_id": unit.unit_id, "cmd": "clip.request", "params": params, "lifetime_s": _LIFETIME_S}
    order |= {"operator": "demo", "reference": "DEMO-2", "purpose": "demonstration"}
    return stage.client.command(order).command_id


def fetch_asked(stage: Stage, unit: DemoUnit, clip_id: str, asked: Interval) -> Path:
    """Wait for a clip that was asked for before; the folder that it lies in.

    Raises:
        DemoError: it did not arrive, or is not verified.
    """
    folder = _folder(stage, unit, format_utc(asked[1]), False)
    _run(stage, ["fetch", unit.unit_id, clip_id, "-o", str(folder)], [])
    stage.say(f"the clip lies in {folder}")
    return folder


def _folder(stage: Stage, unit: DemoUnit, end: str, is_only: bool) -> Path:
    name = end.replace(":", "").replace("-", "")[:15]
    return stage.folder.path / "clips" / (name if is_only else f"{name}-{unit.unit_id}")


def _run(stage: Stage, words: Sequence[str], more: Sequence[str]) -> None:
    print("          $ " + " ".join(["csu", *(f"'{word}'" if " " in word else word for word in words)]), flush=True)
    code = csu_main([*words, "--dir", str(stage.folder.centre), *more])
    if code != 0:
        raise DemoError(f"csu {words[0]} ended with code {code}; look into the logs of {stage.folder.path}")
