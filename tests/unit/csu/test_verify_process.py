import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from csu.verify_process import JobFailedError, StalledError, TooSlowError, run_job
from edge_agent.contract.jws import SigningKey

_REPORT = """print('{"reason": null, "is_unreadable": false, "report": {"ok": true}}')"""


def runs(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    monkeypatch.setattr("csu.verify_process.bound", lambda _command, _signal: [sys.executable, "-c", program])


async def test_empty_lines_before_a_report_are_no_part_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs(monkeypatch, f"print(chr(10) * 5, flush=True); {_REPORT}")
    assert await run_job(tmp_path, {}, 60.0) == (None, {"ok": True})


async def test_a_process_that_goes_on_is_not_ended_for_standing_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("csu.verify_process.bound", lambda _command, _signal: ["sh", "-c", "while :; do echo; done"])
    with pytest.raises(TooSlowError):
        await run_job(tmp_path, {}, 2.0, stall_s=1.5)


async def test_a_process_that_stands_still_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs(monkeypatch, "import signal; print(flush=True); signal.pause()")
    with pytest.raises(StalledError):
        await run_job(tmp_path, {}, 60.0, stall_s=0.2)


async def test_a_report_without_end_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs(monkeypatch, "while True: print('x' * 65536)")
    with pytest.raises(JobFailedError, match="bytes"):
        await run_job(tmp_path, {}, 60.0)


async def test_a_process_that_floods_and_hears_nothing_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs(monkeypatch, "while True: print('x' * 65536)")
    async with asyncio.timeout(20):
        with pytest.raises(TooSlowError):
            await run_job(tmp_path, "more than a pipe holds" * 50_000, 2.0)


@pytest.mark.parametrize(("is_long", "lower_by"), [(False, 0), (True, 10)])
async def test_a_long_verification_lets_others_go_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_long: bool, lower_by: int
) -> None:
    program = """
import json, os, sys
from csu import verify_job
from pathlib import Path
def look(path: Path, keys: object, progress: object) -> None:
    file = Path("/proc/self/autogroup")
    group = int(file.read_text().split()[-1]) if file.exists() else os.nice(0)
    report = {"nice": os.nice(0), "group": group}
    print(json.dumps({"reason": None, "is_unreadable": False, "report": report}), flush=True)
    os._exit(0)
verify_job.verify_clip = look
sys.exit(verify_job.main())
"""

    def started(command: list[str | Path], _signal: signal.Signals) -> list[str]:
        return [sys.executable, "-c", program, *map(str, command[3:])]

    monkeypatch.setattr("csu.verify_process.bound", started)
    keys = SigningKey.generate().public_jwk()
    _, report = await run_job(tmp_path, {"keys": [keys]}, 60.0, is_long=is_long)
    assert report["nice"] == min(19, os.nice(0) + lower_by)
    assert not is_long or report["group"] == 10
