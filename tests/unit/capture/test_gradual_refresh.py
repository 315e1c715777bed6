"""Recovery points, and from how far back pictures are exact."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.capture.gradual_refresh import GradualRefresh, recovery_count
from edge_agent.contract.access_unit import MAX_KEYS_BACK, NEVER_EXACT
from tests.support.gradual import gradual_units
from tests.support.numbered import numbered_units
from tests.unit.capture.fakes import DELTA, EXTRADATA, KEY, START, Feeder, RecordingSink

COUNT_46 = bytes.fromhex("06060205f180")
"""As x264 writes it for 45 macroblocks a row and 3 B-frames."""
COUNT_0 = bytes.fromhex("060601c480")


@pytest.mark.parametrize(
    ("messages", "count"),
    [
        ([], 0),
        ([COUNT_46], 46),
        ([COUNT_0], 0),
        ([bytes.fromhex("06 05 02 aabb 06 02 05f1 80")], 46),  # behind another message of the same unit
        ([bytes.fromhex("06 05 02 aabb 80"), COUNT_46], 46),
        ([bytes.fromhex("06 ff05 01 aa 06 02 05f1 80")], 46),  # behind one of type 260
        ([bytes.fromhex("06 06 02 05")], 0),
        ([bytes.fromhex("06 06 02 0000 80")], 0),
        ([b"\x06"], 0),
    ],
)
def test_the_recovery_count_of_a_picture(messages: list[bytes], count: int) -> None:
    assert recovery_count(messages) == count


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=3))
def test_garbage_is_no_error(messages: list[bytes]) -> None:
    assert recovery_count(messages) >= 0


def distances(counts: list[int], pictures_between: int, *, references: bool = True) -> list[int]:
    refresh = GradualRefresh()
    told = []
    for count in counts:
        told.append(refresh.keys_back(is_key=True, is_reference=True, count=count))
        for _ in range(pictures_between):
            assert refresh.keys_back(is_key=False, is_reference=references, count=0) == 0
    return told


def test_a_key_picture_is_exact_from_as_far_back_as_its_count_reaches() -> None:
    assert distances([0, 0, 0], 9) == [0, 0, 0]
    assert distances([0, 10, 10, 10], 9) == [0, 1, 2, 2]
    assert distances([0, 11, 11, 11, 11], 9) == [0, 1, 2, 3, 3]
    assert distances([0, 2, 2, 2, 2], 9, references=False) == [0, 1, 2, 3, 3]
    assert distances([10, 10, 10, 10], 9) == [NEVER_EXACT, NEVER_EXACT, 2, 2]
    assert distances([10, 10, 0, 10, 10], 9) == [NEVER_EXACT, NEVER_EXACT, 0, 1, 2]
    assert distances([10**6] * 99, 0) == [NEVER_EXACT] * 99
    assert distances([0, *[10**6] * 99], 0)[1:] == [*range(1, MAX_KEYS_BACK + 1), *[NEVER_EXACT] * 37]


@pytest.mark.parametrize("b_frames", [0, 3])
def test_what_an_encoder_writes_is_understood(b_frames: int) -> None:
    first, *others = (unit.keys_back for unit in gradual_units(4, b_frames=b_frames).units if unit.is_key)
    assert first == 0
    assert others[0] == 1
    assert set(others[3:]) == ({4} if b_frames else {2})


def test_an_open_group_is_exact_at_once() -> None:
    stream = numbered_units(4, b_frames=3, options="open-gop=1")
    assert len([unit for unit in stream.units if unit.is_key]) == 4
    assert {unit.keys_back for unit in stream.units} == {0}


def test_messages_in_packets_of_their_own_count_and_a_new_stream_forgets() -> None:
    sink = RecordingSink()
    feeder = Feeder(sink)
    recovering = START + COUNT_46 + DELTA
    feeder.push(0, 0, key=True, data=EXTRADATA + recovering)
    feeder.push(3600, 3600)
    feeder.push(7200, 7200, key=True, data=KEY)
    feeder.push(10_800, 10_800, data=START + COUNT_46)
    feeder.push(10_800, 10_800, key=True, data=DELTA)
    feeder.push(14_400, 14_400, key=True, data=START + COUNT_46 + KEY)
    feeder.normaliser.finish()
    assert [unit.keys_back for unit in sink.units] == [NEVER_EXACT, 0, 0, 1, 0]
