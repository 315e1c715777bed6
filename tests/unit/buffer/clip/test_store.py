from pathlib import Path

import pytest

from edge_agent.buffer.clip import store
from edge_agent.buffer.clip.reader import read_plan
from edge_agent.contract.clip import ClipPlan
from edge_agent.errors import FormatError
from tests.support.clips import CLIP_ID, make_part, make_plan

HEADER = b"header bytes"
OTHER_ID = CLIP_ID[:-1] + "2"


def planned(length: int = 40) -> tuple[tuple[bytes, ...], ClipPlan]:
    headers = (HEADER, HEADER * 2)
    first = make_part(headers[0], [("segments/1.mp4", 5, length)])
    second = make_part(headers[1], [("segments/1.mp4", 5, length)], 2, header_offset=len(HEADER))
    return headers, make_plan((first, second))


def test_what_was_written_is_read_and_listed(tmp_path: Path) -> None:
    headers, plan = planned()
    path = store.write_plan(tmp_path, plan, headers)
    assert path == tmp_path / f"{CLIP_ID}.plan" == store.plan_path(tmp_path, CLIP_ID)
    assert store.read_plan(path) == plan
    assert path.read_bytes().startswith(b"".join(headers) + b"\n{")
    assert store.list_plans(tmp_path) == [CLIP_ID]


def test_a_reserved_plan_becomes_planned(tmp_path: Path) -> None:
    headers, plan = planned()
    store.write_plan(tmp_path, make_plan(()))
    assert store.read_plan(store.plan_path(tmp_path, CLIP_ID)).state == "reserved"
    store.write_plan(tmp_path, plan, headers)
    assert store.read_plan(store.plan_path(tmp_path, CLIP_ID)) == plan


def test_headers_that_do_not_fit_leave_nothing(tmp_path: Path) -> None:
    _, plan = planned()
    with pytest.raises(FormatError, match="1 headers do not fit 2 parts"):
        store.write_plan(tmp_path, plan, [HEADER])
    with pytest.raises(FormatError, match="the header of part 2 does not fit"):
        store.write_plan(tmp_path, plan, [HEADER, HEADER])
    assert list(tmp_path.iterdir()) == []


def test_removing_is_safe_to_repeat(tmp_path: Path) -> None:
    headers, plan = planned()
    store.write_plan(tmp_path, plan, headers)
    assert store.remove_plan(tmp_path, CLIP_ID)
    assert not store.remove_plan(tmp_path, CLIP_ID)
    assert list(tmp_path.iterdir()) == []


def test_what_a_cut_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    headers, plan = planned()
    path = store.write_plan(tmp_path, plan, headers)
    (tmp_path / f".{OTHER_ID}.plan.0123abcd.tmp").write_bytes(HEADER)
    others = [tmp_path / "notes", tmp_path / "notes.plan", tmp_path / f"{OTHER_ID}.plan"]
    others[0].write_bytes(b"")
    others[1].write_bytes(b"")
    others[2].mkdir()
    assert store.list_plans(tmp_path) == [CLIP_ID]
    assert store.sweep_unfinished(tmp_path) == 1
    assert sorted(tmp_path.iterdir()) == sorted([path, *others])


def test_no_folder_holds_no_plans(tmp_path: Path) -> None:
    assert store.list_plans(tmp_path / "none") == []
    assert store.sweep_unfinished(tmp_path / "none") == 0


def test_an_id_that_is_no_uuid_touches_nothing(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="not a clip id"):
        store.remove_plan(tmp_path, "../..")


def test_every_truncation_of_a_plan_is_a_format_error(tmp_path: Path) -> None:
    headers, plan = planned()
    path = store.write_plan(tmp_path, plan, headers)
    whole = path.read_bytes()
    for length in range(0, len(whole), 11):
        path.write_bytes(whole[:length])
        with pytest.raises(FormatError, match=CLIP_ID):
            read_plan(path)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (b'"segments/1.mp4"', b'"../../keys/unit.jwk"', "leads out of the ring"),
        (b'"header_offset":12', b'"header_offset":13', "does not lie in the plan's file"),
        (b'"header_offset":0', b'"header_offset":-1', "does not lie in the plan's file"),
        (b'"offset":5', b'"offset":-5', "begins before its file"),
        (b'"header_bytes":12', b'"header_bytes":13', "ranges of 53 bytes, length 52"),
        (b'"plan/1"', b'"plan/9"', "schema"),
    ],
)
def test_a_damaged_plan_is_named(tmp_path: Path, old: bytes, new: bytes, complaint: str) -> None:
    headers, plan = planned()
    path = store.write_plan(tmp_path, plan, headers)
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    with pytest.raises(FormatError, match=complaint):
        read_plan(path)


def test_a_missing_plan_is_a_format_error(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="No such file"):
        read_plan(store.plan_path(tmp_path, CLIP_ID))
