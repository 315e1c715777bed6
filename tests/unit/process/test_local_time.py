"""Times as people type them."""

import pytest

from edge_agent.contract.errors import ContractError
from edge_agent.contract.local_time import load_zone, parse_instant
from edge_agent.contract.times import parse_utc

PARIS = load_zone("Europe/Paris")
NOW_US = parse_utc("2026-11-22T10:00:00.000Z")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2026-07-14 02:10", "2026-07-14T00:10:00Z"),
        ("2026-01-14T02:10:30.5", "2026-01-14T01:10:30.5Z"),
        ("2026-01-14T02:10:30+05:30", "2026-01-13T20:40:30Z"),
        ("2026-01-14 02:10:30Z", "2026-01-14T02:10:30Z"),
        ("2026-10-25T02:30:00+02:00", "2026-10-25T00:30:00Z"),
        ("-90s", "2026-11-22T09:58:30Z"),
        ("-2h", "2026-11-22T08:00:00Z"),
        ("now", "2026-11-22T10:00:00Z"),
    ],
)
def test_read(text: str, meant: str) -> None:
    assert parse_instant(text, PARIS, NOW_US) == parse_utc(meant)


def test_the_hour_that_happens_twice_is_asked_back() -> None:
    with pytest.raises(ContractError, match=r"twice.*02:30:00\+02:00 or .*02:30:00\+01:00"):
        parse_instant("2026-10-25 02:30", PARIS, NOW_US)


def test_the_hour_that_never_happens_is_refused() -> None:
    with pytest.raises(ContractError, match="does not exist"):
        parse_instant("2026-03-29 02:30", PARIS, NOW_US)


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01 00:00", "2026-02-30T00:00:00Z", "02:10", "-5d"])
def test_what_is_not_a_time_is_refused(text: str) -> None:
    with pytest.raises(ContractError, match=r"RFC 3339|calendar"):
        parse_instant(text, PARIS, NOW_US)


def test_a_zone_that_is_not_there_is_refused() -> None:
    with pytest.raises(ContractError, match="Europe/Paris"):
        load_zone("../etc/passwd")
