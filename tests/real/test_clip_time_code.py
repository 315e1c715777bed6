"""A clip of the drawn street begins at the asked picture, read from the time code in what ffmpeg and Chromium show.

Between the asked time and the pixels lie the real source, recorder, ring, planner and command line, and a player that
knows nothing of them.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge_agent.capture.timecode import TimeCode
from tests.support.chromium import watch
from tests.support.edit_lists import with_moved_edit, without_edits
from tests.support.player_page import Picture, Watched
from tests.support.processes import Processes
from tests.support.street import FPS, Street, StreetClip, code_in, codes, codes_in_ffmpeg, recorded_street
from tests.support.unit import Camera

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(600)]

CAMERAS: dict[str, Camera] = {
    "1280x720": {},
    "320x240, strongly compressed": {"width": 320, "height": 240, "bitrate_kbps": 100},
}

CLIP_S = 2.5
"""Longer than a segment."""

PICTURE_90K = 90_000 // FPS


@dataclass(frozen=True)
class Start:
    """Where a clip is to begin: the first picture that is to be shown, and what is asked for."""

    first: Callable[[Street], int]
    asked_ms: Callable[[Street, int], int]


def its_time(street: Street, first: int) -> int:
    return street.start_ms(first)


def just_after_the_one_before(street: Street, first: int) -> int:
    return street.start_ms(first - 1) + 1


STARTS = {
    "on a key": Start(lambda street: street.key(1, 1), its_time),
    "just after a key": Start(lambda street: street.key(1, 1) + 1, just_after_the_one_before),
    "one picture after a key": Start(lambda street: street.key(1, 1) + 1, its_time),
    "amid a group": Start(lambda street: street.key(1, 1) + 12, its_time),
    "between two pictures": Start(lambda street: street.key(1, 1) + 8, Street.halfway_before),
    "on the last picture of a segment": Start(lambda street: street.key(2, 0) - 1, its_time),
    "on the first picture of a segment": Start(lambda street: street.key(2, 0), its_time),
}

CONTROL = "amid a group"
"""The clip whose edit list is broken, to see that the tests would notice."""


@dataclass(frozen=True)
class Cut:
    """A clip and what it is to show: the recorded pictures `first` up to `end`."""

    clip: StreetClip
    first: int
    end: int
    asked_ms: int


@pytest.fixture(scope="module", params=CAMERAS.values(), ids=list(CAMERAS))
def street(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    processes = Processes()
    try:
        yield from recorded_street(tmp_path_factory.mktemp("street") / "unit", request.param, processes)
    finally:
        processes.kill_all()


def cut(street: Street, start: Start) -> Cut:
    first = start.first(street)
    end = street.after(first, CLIP_S)
    asked_ms = start.asked_ms(street, first)
    return Cut(street.clip(asked_ms, street.halfway_before(end)), first, end, asked_ms)


@pytest.fixture(scope="module")
def cuts(street: Street) -> dict[str, Cut]:
    return {name: cut(street, start) for name, start in STARTS.items()}


@pytest.fixture(scope="module")
def broken(cuts: dict[str, Cut], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Copies of a clip with a wrong edit list."""
    folder, clip = tmp_path_factory.mktemp("broken"), cuts[CONTROL].clip.path
    return {
        "late": with_moved_edit(clip, folder / "late.mp4", PICTURE_90K),
        "early": with_moved_edit(clip, folder / "early.mp4", -PICTURE_90K),
        "none": without_edits(clip, folder / "none.mp4"),
    }


def sought(cut: Cut) -> list[int]:
    """Indices of the pictures to seek to: the last but one, the second, one in between."""
    return [cut.end - 2, cut.first + 1, (cut.first + cut.end) // 2]


def amid(street: Street, cut: Cut, index: int) -> float:
    """A time of the clip's at which a picture is shown, in seconds."""
    return (street.halfway_before(index + 1) - street.pictures[cut.first].utc_ms) / 1000


@pytest.fixture(scope="module")
def in_chromium(
    street: Street, cuts: dict[str, Cut], broken: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Watched]:
    """What Chromium shows of each clip and of each broken one."""
    processes = Processes()
    jobs = [(cut.clip.path, [amid(street, cut, index) for index in sought(cut)]) for cut in cuts.values()]
    jobs += [(path, []) for path in broken.values()]
    try:
        watched = asyncio.run(watch(jobs, tmp_path_factory.mktemp("profile"), processes))
    finally:
        processes.kill_all()
    return dict(zip([*cuts, *broken], watched, strict=True))


def code(picture: Picture) -> TimeCode:
    return code_in(picture.luma)


@pytest.mark.parametrize("name", STARTS)
def test_the_manifest_and_the_time_code_tell_the_same_start(street: Street, cuts: dict[str, Cut], name: str) -> None:
    """The first picture at or after the asked time; both are rounded down to ms, so they may differ by one."""
    cut = cuts[name]
    first, before = street.pictures[cut.first], street.pictures[cut.first - 1]
    assert cut.clip.codes[0] == first.code
    assert abs(cut.clip.start_ms - first.utc_ms) <= 1
    assert before.utc_ms <= cut.asked_ms <= cut.clip.start_ms


@pytest.mark.parametrize("name", STARTS)
def test_ffmpeg_shows_the_asked_pictures_and_no_other(street: Street, cuts: dict[str, Cut], name: str) -> None:
    cut = cuts[name]
    assert cut.clip.codes == codes(street.pictures[cut.first : cut.end])


@pytest.mark.parametrize("name", STARTS)
def test_every_clip_lies_across_segments(cuts: dict[str, Cut], name: str) -> None:
    (part,) = cuts[name].clip.manifest.parts
    assert len({fragment.sequence for fragment in part.fragments}) >= 2


@pytest.mark.parametrize("name", STARTS)
def test_chromium_shows_the_asked_picture_first(
    street: Street, cuts: dict[str, Cut], in_chromium: dict[str, Watched], name: str
) -> None:
    """When it has loaded the clip, and when it plays it."""
    shown, first = in_chromium[name], street.pictures[cuts[name].first]
    assert (shown.first.time_s, code(shown.first)) == (0.0, first.code)
    assert (shown.played.time_s, code(shown.played)) == (0.0, first.code)


@pytest.mark.parametrize("name", STARTS)
def test_chromium_seeks_to_the_picture_of_a_time(
    street: Street, cuts: dict[str, Cut], in_chromium: dict[str, Watched], name: str
) -> None:
    """And the player's own time line agrees with the time codes."""
    cut, shown = cuts[name], in_chromium[name].sought
    wanted = [street.pictures[index].code for index in sought(cut)]
    assert [code(picture) for picture in shown] == wanted
    start_ms = street.pictures[cut.first].utc_ms
    assert [start_ms + picture.time_s * 1000 for picture in shown] == pytest.approx(
        [code.utc_ms for code in wanted], rel=0, abs=1.5
    )


@pytest.mark.parametrize(("name", "places"), [("late", 1), ("early", -1)])
def test_an_edit_list_that_is_wrong_by_a_picture_is_noticed(
    street: Street,
    cuts: dict[str, Cut],
    broken: dict[str, Path],
    in_chromium: dict[str, Watched],
    name: str,
    places: int,
) -> None:
    expected = street.pictures[cuts[CONTROL].first + places].code
    assert first_in_ffmpeg(cuts[CONTROL], broken[name]) == expected
    assert code(in_chromium[name].first) == expected
    assert code(in_chromium[name].played) == expected


def test_without_an_edit_list_the_key_picture_is_shown_first(
    street: Street, cuts: dict[str, Cut], broken: dict[str, Path], in_chromium: dict[str, Watched]
) -> None:
    first = cuts[CONTROL].first
    key = next(shown for shown in reversed(street.pictures[: first + 1]) if shown.is_key)
    assert key != street.pictures[first]
    assert first_in_ffmpeg(cuts[CONTROL], broken["none"]) == key.code
    assert code(in_chromium["none"].first) == key.code
    assert code(in_chromium["none"].played) == key.code


def first_in_ffmpeg(cut: Cut, copy: Path) -> TimeCode:
    (part,) = cut.clip.manifest.parts
    return codes_in_ffmpeg(copy, part.width_px, part.height_px)[0]
