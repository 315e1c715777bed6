"""What a unit is installed from: the licence (docs/decisions/0001-licence.md) rests on what is not in it."""

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "requirements"


def locked(kind: str) -> dict[str, str]:
    text = (FOLDER / f"{kind}.txt").read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9-]+)==([^\s;]+)", text, flags=re.MULTILINE))


@pytest.mark.parametrize("package", ["opencv-python-headless", "numpy", "rich", "pytest"])
def test_a_unit_gets_nothing_of_the_bench(package: str) -> None:
    assert package in locked("dev")
    assert package not in locked("unit")


def test_what_is_shipped_is_what_is_tested() -> None:
    assert locked("unit").items() <= locked("demo").items() <= locked("dev").items()
