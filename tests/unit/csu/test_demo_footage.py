"""What the demonstration asks for, and what it hears of its camera."""

from typing import Any

import pytest

from csu.demo.footage import choose, complaint_of
from csu.records import UnitRecord
from tests.unit.csu.replies import NOW_US

S = 1_000_000


@pytest.mark.parametrize(
    ("held", "found"),
    [
        ([(290_000, 5 * S)], (1 * S, 5 * S)),
        ([(290_000, 5 * S - 1)], None),
        ([(2 * S, 6 * S)], (2 * S, 6 * S)),
        ([(290_000, 3 * S), (3 * S + 1, 9 * S)], (4 * S, 8 * S)),
        ([], None),
    ],
)
def test_only_what_is_held_from_end_to_end_is_asked_for(
    held: list[tuple[int, int]], found: tuple[int, int] | None
) -> None:
    assert choose(held, 4) == found


def unit(alarms: list[dict[str, Any]], heard_us: int = NOW_US) -> UnitRecord:
    states = {"alarms": {"heard_us": heard_us, "body": {"alarms": alarms}}}
    return UnitRecord.from_object({"unit_id": "bench-01", "enrolled_us": NOW_US, "states": states, "ignored": 0})


def alarm(name: str, camera: str | None = "main", **details: object) -> dict[str, Any]:
    return {"name": name, "camera": camera, "since": "2026-03-29T00:00:00.000Z", "details": details}


@pytest.mark.parametrize(
    ("alarms", "words"),
    [
        ([alarm("camera-lost", cause="camera-lost", detail="no video file")], "camera-lost: no video file"),
        ([alarm("camera-lost", cause="overload", detail="")], "camera-lost: overload"),
        ([alarm("recorder-unavailable", reason="it is stopped")], "recorder-unavailable: it is stopped"),
        ([alarm("camera-lost")], "camera-lost: it does not say why"),
        ([alarm("camera-lost", "other", detail="dark")], None),
        ([alarm("storage-low", None)], None),
        ([], None),
    ],
)
def test_a_camera_without_pictures_is_told_in_the_units_words(
    alarms: list[dict[str, Any]], words: str | None
) -> None:
    assert complaint_of(unit(alarms), "main", NOW_US) == words


def test_what_an_earlier_run_said_is_over() -> None:
    alarms = [alarm("camera-lost", detail="no video file")]
    assert complaint_of(unit(alarms, heard_us=NOW_US - 1), "main", NOW_US) is None
    assert complaint_of(UnitRecord(unit_id="b", enrolled_us=0, states={}, ignored=0), "main", 0) is None
