from pathlib import Path

import pytest

from csu.verify_deadline import limit_s
from edge_agent.contract.manifest import MANIFEST_FILE_NAME
from tests.support.clips import make_part, make_plan
from tests.unit.csu.ingest_parts import signed_manifest

_DAY_S = 24 * 3600


def sparse(folder: Path, size_bytes: int) -> Path:
    with (folder / "part1.mp4").open("wb") as file:
        file.truncate(size_bytes)
    return folder


@pytest.mark.parametrize(
    ("bits_per_s", "measured_pictures_per_s"),
    [(300_000, 271), (2_000_000, 271), (8_000_000, 271), (40_000_000, 90)],
)
def test_a_day_that_decodes_five_times_slower_than_measured_has_its_time(
    tmp_path: Path, bits_per_s: int, measured_pictures_per_s: int
) -> None:
    size_bytes = _DAY_S * bits_per_s // 8
    needed_s = _DAY_S * 25 / measured_pictures_per_s + size_bytes / 100_000_000
    assert limit_s(sparse(tmp_path, size_bytes)) > 2.5 * needed_s


def test_what_a_unit_claims_gives_it_no_time(tmp_path: Path) -> None:
    sparse(tmp_path, 1_000_000)
    part = make_part(b"", [("segments/1.mp4", 0, 5)]).model_copy(update={"samples": 10**12})
    (tmp_path / MANIFEST_FILE_NAME).write_bytes(signed_manifest(make_plan((part,))))
    assert 300 < limit_s(tmp_path) < 600


def test_many_small_pictures_give_no_more_than_a_days(tmp_path: Path) -> None:
    sparse(tmp_path, 10**9)
    assert limit_s(tmp_path) < 1.5 * _DAY_S
