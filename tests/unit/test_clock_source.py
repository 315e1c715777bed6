"""Who vouches for the clock: chrony's report, the kernel's word, or nobody."""

import ctypes
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.clock import FakeClock
from edge_agent.clock_source import (
    KERNEL_FLOOR_US,
    SystemClockProbe,
    Vouched,
    ask_chrony,
    ask_kernel,
    parse_tracking,
)

TRACKING = (
    "C0A80001,192.168.0.1,3,1790000000.123,-0.000123456,0.000010,0.000020,"
    "-12.3,0.001,0.05,0.020000,0.003000,64.5,Normal"
)


def test_chronys_bound_is_offset_and_dispersion_and_half_the_delay() -> None:
    bound_us = 123 + 3_000 + 10_000
    assert parse_tracking(TRACKING) == Vouched("chrony", bound_us, synced_us=1_790_000_000_123_000, offset_us=123)


@pytest.mark.parametrize(
    "report",
    [
        "",
        "506 Cannot talk to daemon",
        TRACKING + "\n" + TRACKING,
        TRACKING.replace("Normal", "Not synchronised"),
        TRACKING.replace("C0A80001", "7F7F0101"),
        TRACKING.replace("C0A80001", "00000000"),
        TRACKING.replace("0.020000", "soon"),
        TRACKING.replace("0.020000", "inf"),
        TRACKING.replace("0.020000", "nan"),
        TRACKING + ",more",
    ],
)
def test_anything_else_vouches_for_nothing(report: str) -> None:
    assert parse_tracking(report) is None


@given(st.text(max_size=300))
def test_garbage_vouches_for_nothing_and_raises_nothing(report: str) -> None:
    assert parse_tracking(report) is None or report.count(",") == 13


def script(folder: Path, body: str) -> tuple[str]:
    path = folder / "chronyc"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return (str(path),)


def test_chrony_is_asked_with_its_own_program(tmp_path: Path) -> None:
    assert ask_chrony(script(tmp_path, f"echo '{TRACKING}'")) == Vouched(
        "chrony", 13_123, synced_us=1_790_000_000_123_000, offset_us=123
    )


@pytest.mark.parametrize("body", ["exit 1", "sleep 60", "head -c 100000 /dev/zero"])
def test_a_chrony_that_fails_hangs_or_babbles_vouches_for_nothing(tmp_path: Path, body: str) -> None:
    assert ask_chrony(script(tmp_path, body)) is None


def test_an_absent_chrony_vouches_for_nothing(tmp_path: Path) -> None:
    assert ask_chrony((str(tmp_path / "chronyc"),)) is None


def kernel(state: int, status: int, maxerror_us: int) -> Callable[[object], int]:
    """An adjtimex(2) that writes into `struct timex` where linux/timex.h has its fields."""

    def adjtimex(pointer: object) -> int:
        place = ctypes.cast(cast("ctypes.c_void_p", pointer), ctypes.c_void_p).value or 0
        ctypes.c_long.from_address(place + 3 * ctypes.sizeof(ctypes.c_long)).value = maxerror_us
        ctypes.c_int.from_address(place + 5 * ctypes.sizeof(ctypes.c_long)).value = status
        return state

    return adjtimex


def test_a_disciplined_kernel_vouches_with_its_largest_error_and_a_floor(tmp_path: Path) -> None:
    assert ask_kernel(kernel(0, 0x2001, 7_000), tmp_path / "none") == Vouched("kernel", 7_000 + KERNEL_FLOOR_US)


def test_systemd_tells_when_it_last_heard_a_time_server(tmp_path: Path) -> None:
    touched = tmp_path / "synchronized"
    touched.touch()
    os.utime(touched, (1_790_000_000, 1_790_000_000))
    vouched = ask_kernel(kernel(0, 0x2001, 7_000), touched)
    assert vouched is not None
    assert vouched.synced_us == 1_790_000_000_000_000


@pytest.mark.parametrize(("state", "status"), [(5, 0), (0, 0x40), (-1, 0)])
def test_an_undisciplined_kernel_vouches_for_nothing(state: int, status: int) -> None:
    assert ask_kernel(kernel(state, status, 0)) is None


def test_this_machines_kernel_can_be_asked() -> None:
    answer = ask_kernel()
    assert answer is None or answer.source == "kernel"


def test_chrony_is_believed_before_the_kernel_and_the_kernel_before_nobody() -> None:
    clock = FakeClock()
    chrony, by_kernel = Vouched("chrony", 5, 6, 7), Vouched("kernel", 7)
    reading = SystemClockProbe(clock, lambda: chrony, lambda: by_kernel).read()
    assert (reading.source, reading.bound_us, reading.wall_us) == ("chrony", 5, clock.wall_us())
    assert (reading.synced_us, reading.offset_us) == (6, 7)
    assert SystemClockProbe(clock, lambda: None, lambda: by_kernel).read().source == "kernel"
    unknown = SystemClockProbe(clock, lambda: None, lambda: None).read()
    assert (unknown.source, unknown.bound_us, unknown.monotonic_us) == ("unknown", None, clock.monotonic_us())
