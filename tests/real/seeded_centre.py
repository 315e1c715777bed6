"""A centre's directory with units, commands, clips, alarms and history in it, before the service runs on it."""

import asyncio
from pathlib import Path

from csu import stored_alarms, stored_clips, stored_commands, stored_units
from csu.keys import KeyStore
from csu.registry import Registry
from csu.verify import verify_clip
from edge_agent.clock import SystemClock
from edge_agent.contract.ids import make_uuid7
from edge_agent.contract.jws import SigningKey
from edge_agent.contract.times import format_utc
from tests.builders import make_units
from tests.support.recording import rotated
from tests.support.saved_clips import UNIT_KEYS, asked_s, saved_clip
from tests.unit.csu.replies import COMMAND_ID, make_command, make_reply

UNIT_IDS = ("nomad-07", "nomad-08", "nomad-09")
UNIT_ID = UNIT_IDS[0]
CLIP_ID = COMMAND_ID
COMMANDS = 250


def seed(directory: Path) -> None:
    """Fill a directory that `csu serve` has not been on yet."""
    (directory / "keys").mkdir(parents=True, mode=0o700)
    keys = KeyStore(directory / "keys")
    for unit_id in UNIT_IDS:
        keys.enrol(unit_id, SigningKey.generate().public_jwk())
    clip = saved_clip(directory, rotated(directory, make_units(3), 40), asked_s(0.5, 2), directory / "clip")
    asyncio.run(_fill(directory, clip.folder, verify_clip(clip.folder, UNIT_KEYS).to_object()))


async def _fill(directory: Path, folder: Path, report: dict[str, object]) -> None:
    now_us = SystemClock().wall_us()
    registry = Registry(directory / "registry.db")
    await registry.open()
    for unit_id in UNIT_IDS:
        await registry.run(stored_units.add_unit, unit_id, now_us)
    for number in range(COMMANDS):
        command_id = COMMAND_ID if number == 0 else make_uuid7(now_us + number)
        await registry.run(stored_commands.add_command, make_command(command_id, unit_id=UNIT_IDS[number % 3]))
    await registry.run(stored_commands.apply_reply, make_reply("done"), now_us, now_us)
    await registry.run(stored_clips.add_clip, UNIT_ID, CLIP_ID, str(folder), now_us)
    await registry.run(stored_clips.save_verdict, UNIT_ID, CLIP_ID, None, report, None, now_us)
    for name in ("not-heard", "clip-failed"):
        key = (UNIT_ID, name, "")
        await registry.run(stored_alarms.raise_own, key, now_us - 5_000_000, {}, now_us)
    coverage = {
        "at": format_utc(now_us),
        "cameras": [
            {
                "camera": "main",
                "oldest": format_utc(now_us - 10**12),
                "newest": format_utc(now_us),
                "size_bytes": 10**9,
                "hours_until_overwrite": 5.0,
            }
        ],
    }
    await registry.run(stored_units.save_state, UNIT_ID, "coverage", coverage, now_us)
    await registry.close()
