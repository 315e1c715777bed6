"""What people read, in both languages."""

from zoneinfo import ZoneInfo

import pytest

from csu.notify_settings import Language
from csu.notify_words import MAX_LINES, Words, known_alarms
from csu.severity import SEVERITIES
from csu.stored_notices import Notice, NoticeKind
from edge_agent.contract.times import format_utc
from tests.unit.csu.watched import NOW_US

PARIS = ZoneInfo("Europe/Paris")
SUMMARY = {
    "day": "2026-11-21",
    "zone": "Europe/Paris",
    "units": 3,
    "recorded_share": 0.99512,
    "lost_s": 4000,
    "alarms_raised": 5,
    "alarms_open": 1,
    "alarms_unacknowledged": 2,
    "clips_delivered": 4,
    "clips_failed": 1,
    "not_recording": ["nomad-03"],
    "not_heard": [],
}


def notice(kind: NoticeKind = "alarm-raised", number: int = 1, **alarm: object) -> Notice:
    body = {
        "unit_id": "nomad-07",
        "name": "camera-lost",
        "camera": "main",
        "severity": "critical",
        "raised_at": format_utc(NOW_US),
        "cleared_at": format_utc(NOW_US),
        "details": {"cause": "absent"},
    }
    return Notice(number, "id", kind, "critical", body | alarm, NOW_US)


@pytest.mark.parametrize("language", ["fr", "en"])
def test_every_alarm_has_words(language: Language) -> None:
    assert set(SEVERITIES) <= known_alarms()
    for name in SEVERITIES:
        assert name not in Words(language, PARIS).text_of([notice(name=name, camera=None)], 0).subject


def test_one_alarm_is_told_in_its_subject_and_in_local_time() -> None:
    text = Words("fr", PARIS).text_of([notice()], 0)
    assert text.subject == "[CSU] nomad-07 : caméra sans image (main) (apparue)"
    assert "2026-09-21 16:13:20 CEST  nomad-07  CRITIQUE  caméra sans image (main) apparue : absent" in text.body
    text = Words("en", PARIS).text_of([notice("alarm-cleared")], 0)
    assert text.subject == "[CSU] nomad-07 : camera delivers no picture (main) (over)"


def test_an_alarm_that_flaps_is_one_line() -> None:
    notices = [notice("alarm-cleared" if number % 2 else "alarm-raised", number) for number in range(40)]
    lines = Words("en", PARIS).lines_of([*notices, notice(number=41, unit_id="nomad-08")])
    assert len(lines) == 2
    assert "40 changes, now over" in lines[0]


def test_a_long_message_ends_with_a_count() -> None:
    notices = [notice(number=number, unit_id=f"nomad-{number}") for number in range(80)]
    text = Words("fr", PARIS).text_of(notices, 7)
    assert text.subject == "[CSU] ! 80 notifications"
    assert f"… et {80 - MAX_LINES} autres." in text.body
    assert "7 notifications plus anciennes" in text.body


def test_a_unit_that_speaks_much_leaves_room_for_others() -> None:
    notices = [notice(number=number, name=f"n{number}") for number in range(200)]
    text = Words("en", PARIS).text_of([*notices, notice(number=201, unit_id="nomad-09")], 0)
    assert "nomad-09" in text.body
    assert text.body.count("nomad-07") == MAX_LINES - 1
    assert "151 more" in text.body


def test_the_summary_of_a_day() -> None:
    day = Notice(1, "id", "summary", None, SUMMARY, NOW_US)
    text = Words("fr", PARIS).text_of([day], 0)
    assert text.subject == "[CSU] Bilan du 2026-11-21"
    for words in ("99.51 %", "1 h 06 min", "5 apparues, 1 en cours, 2 non acquittées", "nomad-03", "aucune"):
        assert words in text.body
    empty = Notice(1, "id", "summary", None, SUMMARY | {"recorded_share": None}, NOW_US)
    assert "Recorded: unknown" in Words("en", PARIS).text_of([empty], 0).body


def test_what_a_unit_sent_writes_no_lines_of_its_own() -> None:
    odd = notice(name="x\r\nBcc: y", camera="a\nb", details={"cause": "c\r\nd\x1b[2J"})
    text = Words("fr", PARIS).text_of([odd], 0)
    assert "\n" not in text.subject
    assert "\r" not in text.subject
    assert "\x1b" not in text.body
    assert len(text.body.splitlines()) == 4
