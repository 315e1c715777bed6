"""Runs `csu.verify_job` for one clip, and ends it when it stands still or takes too long."""

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from csu.children import bound
from csu.errors import CsuError
from csu.verify_deadline import STALL_S

_MAX_REPORT_BYTES = 4_000_000
_READ_BYTES = 1 << 16
MAX_REASON_CHARACTERS = 500

Outcome = tuple[str | None, dict[str, Any]]
"""Why the clip fails, None when it does not; and the whole report."""


class JobFailedError(CsuError):
    """The verification process ended without a report: that says nothing of the clip."""


class UnreadableError(JobFailedError):
    """The centre's own storage did not give what was to be verified: that says nothing of the clip."""


class StalledError(JobFailedError):
    """The verification stood still: that says nothing of the clip."""


class TooSlowError(JobFailedError):
    """The verification went on but had not ended in its time: that says nothing of the clip."""


async def run_job(
    folder: Path, jwks: object, allowed_s: float, *, stall_s: float = STALL_S, is_long: bool = False
) -> Outcome:
    """Verify the clip in a process of its own.

    Args:
        folder: the clip's.
        jwks: the JWK set that its signature is checked against.
        allowed_s: the process is ended after this time,
        stall_s: or when so long nothing was heard of it.
        is_long: it lets others go first (nice(2)).

    Raises:
        TooSlowError: it took too long.
        StalledError: it stood still.
        UnreadableError: files of the clip could not be read here.
        JobFailedError: it ended with an error, or without a report that can be read.
        OSError: it could not be started.
    """
    async with _started(folder, is_long=is_long) as job:
        try:
            async with asyncio.timeout(allowed_s):
                await _tell(job, json.dumps(jwks).encode())
                output = await _listen(job, stall_s)
                code = await job.wait()
        except TimeoutError as error:
            raise TooSlowError(f"it had not ended after {allowed_s:.0f} s") from error
    return _read_outcome(output, code)


@asynccontextmanager
async def _started(folder: Path, *, is_long: bool) -> AsyncIterator[Process]:
    options = ["--nice"] if is_long else []
    command: list[str | Path] = [sys.executable, "-m", "csu.verify_job", folder, *options]
    job = await asyncio.create_subprocess_exec(
        *await asyncio.to_thread(bound, command, signal.SIGKILL), stdin=PIPE, stdout=PIPE, start_new_session=True
    )
    try:
        yield job
    finally:
        if job.returncode is None:
            with suppress(ProcessLookupError):
                job.kill()
            await _drain(job)
            await job.wait()


async def _drain(job: Process) -> None:
    """Drop what is left of its output.

    asyncio's `wait` ends only after the pipe's end, and asyncio stops reading a pipe while nobody takes what is there
    (CPython, issue 119710).
    """
    while job.stdout is not None and await job.stdout.read(_READ_BYTES):
        pass


async def _tell(job: Process, words: bytes) -> None:
    if job.stdin is None:
        raise JobFailedError("it has no standard input")
    with suppress(BrokenPipeError, ConnectionResetError):  # it ended before: its code tells
        job.stdin.write(words)
        await job.stdin.drain()
    job.stdin.close()


async def _listen(job: Process, stall_s: float) -> bytes:
    """Its report; the empty lines before it only say that it goes on."""
    if job.stdout is None:
        raise JobFailedError("it has no standard output")
    output = bytearray()
    while True:
        try:
            async with asyncio.timeout(stall_s):
                heard = await job.stdout.read(_READ_BYTES)
        except TimeoutError as error:
            raise StalledError(f"it stood still for {stall_s:.0f} s") from error
        if not heard:
            return bytes(output)
        output += heard.replace(b"\n", b"")
        if len(output) > _MAX_REPORT_BYTES:
            raise JobFailedError(f"its report has over {_MAX_REPORT_BYTES} bytes")


def _read_outcome(output: bytes, code: int) -> Outcome:
    if code != 0:
        raise JobFailedError(f"it ended with code {code}")
    try:
        outcome = json.loads(output)
        reason = outcome["reason"]
        if outcome["is_unreadable"]:
            raise UnreadableError(str(reason)[:MAX_REASON_CHARACTERS])
        return (None if reason is None else str(reason)[:MAX_REASON_CHARACTERS]), dict(outcome["report"])
    except (ValueError, KeyError, TypeError) as error:
        raise JobFailedError(f"its report cannot be read: {error}") from error
