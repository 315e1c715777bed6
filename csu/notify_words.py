"""What notifications say, in French and in English."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from csu.notify_settings import Language
from csu.severity import CENTRE
from csu.stored_notices import Notice
from edge_agent.contract.times import parse_utc

MAX_LINES = 50
"""Of one message; further ones are counted."""
MAX_ALIKE = 3
"""Notices of one alarm in one message that are told one by one; more become one line."""
_MAX_DETAIL_CHARACTERS = 200
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_ALARMS: Mapping[str, tuple[str, str]] = {
    "camera-lost": ("caméra sans image", "camera delivers no picture"),
    "recorder-unavailable": ("enregistreur muet", "recorder does not answer"),
    "picture-below-minimum": ("image sous le minimum légal", "picture below the legal minimum"),
    "storage-low": ("stockage presque plein", "storage almost full"),
    "storage-error": ("erreur d'écriture du stockage", "storage refuses writes"),
    "retention-short": ("conservation trop courte", "retention too short"),
    "frame-rate-low": ("cadence d'images basse", "frame rate low"),
    "frames-dropped": ("images perdues", "pictures dropped"),
    "camera-unstable": ("caméra instable", "camera unstable"),
    "encoder-failed": ("encodeur en échec", "encoder failed"),
    "picture-black": ("image noire", "picture black"),
    "picture-frozen": ("image figée", "picture frozen"),
    "camera-otherwise": ("caméra non conforme aux réglages", "camera not as its settings ask"),
    "process-restarting": ("processus relancé sans cesse", "process restarts again and again"),
    "storage-read-only": ("stockage en lecture seule", "storage is read-only"),
    "storage-slow": ("stockage lent", "storage slow"),
    "storage-silent": ("stockage muet", "storage does not answer"),
    "memory-low": ("mémoire presque épuisée", "memory low"),
    "clock-unsynchronised": ("horloge non synchronisée", "clock not synchronised"),
    "clock-disputed": ("horloge contredite par le GNSS", "clock and GNSS disagree"),
    "round-trip-high": ("liaison lente", "link slow"),
    "gnss-silent": ("récepteur GNSS muet", "GNSS receiver silent"),
    "fix-lost": ("position perdue", "position lost"),
    "temperature-high": ("température élevée", "temperature high"),
    "not-heard": ("unité injoignable", "unit not heard from"),
    "clip-failed": ("extrait invalide", "clip failed"),
    "broker-lost": ("centre sans courtier MQTT", "centre without MQTT broker"),
    "disk-low": ("disque du centre presque plein", "centre's disk almost full"),
    "notify-failing": ("notifications en échec", "notifications fail"),
}
_WORDS: Mapping[str, tuple[str, str]] = {
    "critical": ("CRITIQUE", "CRITICAL"),
    "warning": ("avertissement", "warning"),
    "alarm-raised": ("apparue", "raised"),
    "alarm-cleared": ("terminée", "over"),
    "times": ("{count} changements d'état, à présent {state}", "{count} changes, now {state}"),
    "centre": ("centre", "centre"),
    "many": ("{count} notifications", "{count} notifications"),
    "further": ("… et {count} autres.", "… and {count} more."),
    "left-out": (
        "{count} notifications plus anciennes n'ont pas pu être transmises.",
        "{count} older notifications could not be delivered.",
    ),
    "summary": ("Bilan du {day}", "Summary of {day}"),
    "units": ("Unités : {value}", "Units: {value}"),
    "recorded": ("Enregistré : {value}", "Recorded: {value}"),
    "lost": ("Perdu : {value}", "Lost: {value}"),
    "alarms": (
        "Alarmes : {raised} apparues, {open} en cours, {unacknowledged} non acquittées",
        "Alarms: {raised} raised, {open} open, {unacknowledged} not acknowledged",
    ),
    "clips": ("Extraits : {delivered} livrés, {failed} en échec", "Clips: {delivered} delivered, {failed} failed"),
    "not-recording": ("N'enregistrent pas : {value}", "Not recording: {value}"),
    "not-heard-units": ("Injoignables : {value}", "Not heard from: {value}"),
    "unknown": ("inconnu", "unknown"),
    "none": ("aucune", "none"),
    "footer": (
        "Message automatique du centre de supervision. Acquitter : csu acknowledge, ou la page du centre.",
        "Sent by the supervision centre. Acknowledge with csu acknowledge, or on its page.",
    ),
}


@dataclass(frozen=True, slots=True)
class Text:
    """A message for people."""

    subject: str
    body: str


class Words:
    """One language and one time zone."""

    def __init__(self, language: Language, zone: ZoneInfo) -> None:
        self._place = 0 if language == "fr" else 1
        self._zone = zone

    def text_of(self, notices: Sequence[Notice], left_out: int) -> Text:
        """A message that tells of notices, and of `left_out` ones that nobody can be told of any more."""
        lines = self._lines(notices)
        body = [words for _, words in _fair(lines, MAX_LINES)]
        if len(lines) > MAX_LINES:
            body.append(self._say("further", count=len(lines) - MAX_LINES))
        if left_out:
            body.append(self._say("left-out", count=left_out))
        return Text(self._subject(notices, len(lines)), "\n".join([*body, "", "-- ", self._say("footer"), ""]))

    def lines_of(self, notices: Sequence[Notice]) -> list[str]:
        """A line an alarm's change, a line an alarm that changed often, and summaries as they are."""
        return [words for _, words in self._lines(notices)]

    def _lines(self, notices: Sequence[Notice]) -> list[tuple[object, str]]:
        """Each with its unit."""
        counts = Counter(_key_of(notice) for notice in notices)
        last = {_key_of(notice): notice for notice in notices}
        lines: list[tuple[object, str]] = []
        for notice in notices:
            key, unit_id = _key_of(notice), notice.body.get("unit_id")
            if notice.kind == "summary":
                lines += [(None, words) for words in self._summary(notice.body)]
            elif counts[key] <= MAX_ALIKE:
                lines.append((unit_id, self._alarm(notice)))
            elif last[key] is notice:
                times = self._say("times", count=counts[key], state=self._say(notice.kind))
                lines.append((unit_id, f"{self._alarm(notice)} — {times}"))
        return lines

    def _subject(self, notices: Sequence[Notice], lines: int) -> str:
        if lines == 1:
            notice = notices[-1]
            return f"[CSU] {self._who(notice.body)} : {self._what(notice.body)} ({self._say(notice.kind)})"
        if len(notices) == 1:
            return f"[CSU] {self._say('summary', day=notices[0].body.get('day'))}"
        critical = "! " if any(notice.severity == "critical" for notice in notices) else ""
        return f"[CSU] {critical}{self._say('many', count=len(notices))}"

    def _alarm(self, notice: Notice) -> str:
        body = notice.body
        at = body.get("cleared_at") if notice.kind == "alarm-cleared" else body.get("raised_at")
        words = [
            self._when(at),
            self._who(body),
            self._say(str(body.get("severity"))),
            f"{self._what(body)} {self._say(notice.kind)}",
        ]
        return "  ".join(words) + _detail(body.get("details"))

    def _who(self, body: Mapping[str, Any]) -> str:
        unit_id = str(body.get("unit_id"))
        return self._say("centre") if unit_id == CENTRE else unit_id

    def _what(self, body: Mapping[str, Any]) -> str:
        name = str(body.get("name"))
        words = _ALARMS[name][self._place] if name in _ALARMS else _visible(name)
        camera = body.get("camera")
        return f"{words} ({_visible(camera)})" if camera else words

    def _when(self, at: object) -> str:
        moment = (_EPOCH + timedelta(microseconds=parse_utc(str(at)))).astimezone(self._zone)
        return moment.strftime("%Y-%m-%d %H:%M:%S %Z")

    def _summary(self, body: Mapping[str, Any]) -> list[str]:
        share = body.get("recorded_share")
        recorded = self._say("unknown") if share is None else f"{share * 100:.2f} %"
        return [
            self._say("summary", day=f"{body.get('day')} ({body.get('zone')})"),
            self._say("units", value=body.get("units")),
            self._say("recorded", value=recorded),
            self._say("lost", value=_duration(int(body.get("lost_s", 0)))),
            self._say(
                "alarms",
                raised=body.get("alarms_raised"),
                open=body.get("alarms_open"),
                unacknowledged=body.get("alarms_unacknowledged"),
            ),
            self._say("clips", delivered=body.get("clips_delivered"), failed=body.get("clips_failed")),
            self._say("not-recording", value=self._names(body.get("not_recording"))),
            self._say("not-heard-units", value=self._names(body.get("not_heard"))),
        ]

    def _names(self, names: object) -> str:
        return ", ".join(map(str, names)) if isinstance(names, list) and names else self._say("none")

    def _say(self, code: str, **values: object) -> str:
        return _WORDS[code][self._place].format(**values) if code in _WORDS else _visible(code)


def known_alarms() -> frozenset[str]:
    """Names of alarms that have words of their own."""
    return frozenset(_ALARMS)


def _fair(lines: Sequence[tuple[object, str]], most: int) -> list[tuple[object, str]]:
    """At most so many lines, in order: of every unit the first, then of every unit the second, and so on."""
    earlier: Counter[object] = Counter()
    turns = []
    for place, (unit_id, _) in enumerate(lines):
        turns.append((earlier[unit_id], place))
        earlier[unit_id] += 1
    return [lines[place] for place in sorted(place for _, place in sorted(turns)[:most])]


def _key_of(notice: Notice) -> tuple[object, ...]:
    if notice.kind == "summary":
        return ("summary", notice.number)
    return tuple(notice.body.get(name) for name in ("unit_id", "name", "camera"))


def _detail(details: object) -> str:
    """The words of an alarm's details that say most."""
    if not isinstance(details, Mapping):
        return ""
    for name in ("cause", "reason", "detail"):
        if isinstance(words := details.get(name), str) and words:
            return f" : {_visible(words)[:_MAX_DETAIL_CHARACTERS]}"
    return ""


def _visible(text: object) -> str:
    """What a unit sent, without line ends and other control characters."""
    return "".join(one if one.isprintable() else "?" for one in str(text))


def _duration(seconds: int) -> str:
    return f"{seconds // 3600} h {seconds % 3600 // 60:02} min"
