"""The published reference of the settings is that of the models, and complete."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from edge_agent.settings import CameraSettings, Settings
from edge_agent.settings_reference import TABLES, reference_text

DOCUMENT = Path(__file__).parents[3] / "docs" / "settings.md"


def test_it_is_current() -> None:
    published = DOCUMENT.read_text(encoding="utf-8")
    assert published == reference_text(), "run: python -m edge_agent.settings_reference docs/settings.md"


def test_every_table_has_its_place() -> None:
    inner = {f"camera.{key}" for key in CameraSettings.model_fields if f"camera.{key}" in TABLES}
    assert set(TABLES) == set(Settings.model_fields) | inner
    assert inner == {"camera.encoder", "camera.proxy", "camera.sensor", "camera.v4l2"}


@pytest.mark.parametrize(("table", "model"), TABLES.items())
def test_every_key_says_what_it_is_for(table: str, model: type[BaseModel]) -> None:
    section = re.split(r"^## ", reference_text(), flags=re.MULTILINE)[1 + list(TABLES).index(table)]
    rows = [line.split(" | ") for line in section.splitlines() if line.startswith("| `")]
    assert [cells[0].strip("|` ") for cells in rows] == [
        key for key in model.model_fields if f"{table}.{key}" not in TABLES
    ]
    for cells in rows:
        assert len(cells) == 5, cells
        assert all(cells[index].strip() for index in (1, 2)), cells
        assert len(cells[4].strip("| ")) > 10, f"{cells[0]}: say below the field what it means"


def test_a_range_and_a_default_are_those_of_the_model() -> None:
    row = next(line for line in reference_text().splitlines() if line.startswith("| `max_age_h`"))
    assert "| number, over 0 to 744 | `720` | hours |" in row
