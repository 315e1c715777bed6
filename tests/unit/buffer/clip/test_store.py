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
    parts = tuple(
        make_part(header, [("segments/1.mp4", 5, length)], index) for index, header in enumerate(headers, start=1)
    )
    return headers, make_plan(parts)


def test_what_was_written_is_read_and_listed(tmp_path: Path) -> None:
    headers, plan = planned()
    path = store.write_plan(tmp_path, plan, headers)
    assert path == tmp_path / CLIP_ID / "plan.json"
    assert store.read_plan(path) == plan == store.read_plan(path.parent)
    assert (path.parent / "part-2.header").read_bytes() == headers[1]
    assert store.list_plans(tmp_path) == [CLIP_ID]


def test_a_reserved_plan_becomes_planned(tmp_path: Path) -> None:
    headers, plan = planned()
    store.write_plan(tmp_path, make_plan(()))
    assert store.read_plan(tmp_path / CLIP_ID).state == "reserved"
    store.write_plan(tmp_path, plan, headers)
    assert store.read_plan(tmp_path / CLIP_ID) == plan


def test_headers_that_do_not_fit_leave_nothing(tmp_path: Path) -> None:
    _, plan = planned()
    with pytest.raises(FormatError, match="1 headers do not fit 2 parts"):
        store.write_plan(tmp_path, plan, [HEADER])
    assert list(tmp_path.iterdir()) == []


def test_removing_is_safe_to_repeat(tmp_path: Path) -> None:
    headers, plan = planned()
    store.write_plan(tmp_path, plan, headers)
    assert store.remove_plan(tmp_path, CLIP_ID)
    assert not store.remove_plan(tmp_path, CLIP_ID)
    assert list(tmp_path.iterdir()) == []


def test_a_cut_before_the_plan_leaves_no_plan_and_is_swept(tmp_path: Path) -> None:
    headers, plan = planned()
    store.write_plan(tmp_path, plan, headers)
    cut = tmp_path / OTHER_ID
    cut.mkdir()
    (cut / "part-1.header").write_bytes(HEADER)
    assert store.list_plans(tmp_path) == [CLIP_ID]
    assert store.sweep_unfinished(tmp_path) == 1
    assert [path.name for path in tmp_path.iterdir()] == [CLIP_ID]


def test_a_cut_in_removing_is_finished_by_removing_again(tmp_path: Path) -> None:
    headers, plan = planned()
    store.write_plan(tmp_path, plan, headers).unlink()
    assert store.list_plans(tmp_path) == []
    assert not store.remove_plan(tmp_path, CLIP_ID)
    assert list(tmp_path.iterdir()) == []


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
        with pytest.raises(FormatError, match=r"plan\.json"):
            read_plan(path)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (b'"segments/1.mp4"', b'"../../keys/unit.jwk"', "leads out of the ring"),
        (b'"part-1.header"', b'"/etc/passwd"', "leads out of the ring"),
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
        read_plan(tmp_path / CLIP_ID)
