"""The published schema documents are those of the code."""

from pathlib import Path

import pytest

from edge_agent.contract.schemas import PUBLISHED, schema_text

FOLDER = Path(__file__).parents[3] / "docs" / "schemas"


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_a_schema_document_is_current(name: str) -> None:
    published = (FOLDER / f"{name}.json").read_text(encoding="utf-8")
    assert published == schema_text(PUBLISHED[name]), "run: python -m edge_agent.contract.schemas docs/schemas"


def test_nothing_else_is_published() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == set(PUBLISHED)
