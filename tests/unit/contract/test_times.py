"""Instants as text and back."""

import pytest

from edge_agent.contract.clip import Interval
from edge_agent.contract.commands import CoverageQuery
from edge_agent.contract.errors import ContractError
from edge_agent.contract.times import format_utc, parse_utc


@pytest.mark.parametrize(
    "text",
    ["0001-01-01T00:00:00.000Z", "0999-02-28T23:59:59.001Z", "1969-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"],
)
def test_the_whole_calendar_goes_there_and_back(text: str) -> None:
    assert format_utc(parse_utc(text)) == text
    query = CoverageQuery.from_object({"camera": "main", "from": text, "to": text})
    interval = Interval(start_us=query.from_us, end_us=query.to_us)
    assert Interval.from_json(interval.to_json()) == interval


@pytest.mark.parametrize("instant", [0, 10**25, 1.5, True, None, "", "10000-01-01T00:00:00Z", "2026-01-01T00:00:00"])
def test_a_command_names_its_instants_in_text(instant: object) -> None:
    with pytest.raises(ContractError):
        CoverageQuery.from_object({"camera": "main", "from": instant, "to": "2026-01-01T00:00:00Z"})
