"""How a unit stands, from what was heard of it: the table of reasons, and the limits of age.

Liveness is the retained status and the last will: the broker hears a unit's keep-alives (45 s), which nobody else
does, and says `offline` in its place within 80 s. A unit that is back `FLAP_US` later was never away. Health comes
when it changes and else hourly, so that a unit whose health is older than `HEALTH_OLD_US` has something wrong with
it, however online it is.

| reason | standing | since |
|---|---|---|
| `not-recording` | trouble | its last health says so of a camera; `cause` |
| `probe-critical` | trouble | a probe of its last health; `probe`, `figures` beyond a limit where it names them |
| `alarm-critical` | trouble | an open alarm; `name`, `alarm_id` |
| `contact-lost` | lost | its status says offline, or it did not come back after a restart of the broker |
| `centre-offline` | unheard | the centre has no broker and hears nobody |
| `never-heard` | unheard | enrolled, and never heard |
| `not-heard-yet` | unheard | not heard since the centre or the broker was started, a short while ago |
| `recording-unknown` | warning | its recorder does not answer the unit itself |
| `health-missing` | warning | online, and no health was heard |
| `health-old` | warning | online, and its last health is older than it may be |
| `probe-warning`, `alarm-warning` | warning | as above |
"""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from csu.fleet_bodies import PROBES, judged_of
from csu.fleet_hearing import Hearing
from csu.fleet_unit import Sight, StatusWord
from csu.severity import NOT_HEARD
from csu.views import AlarmRecord, CameraView, Reason, Standing
from edge_agent.contract.event_names import EventName
from edge_agent.contract.messages import Probe

HEALTH_OLD_US = 9_000_000_000
"""2.5 h: two hourly ones may be missed."""
FLAP_US = 10_000_000
"""A unit for which its will spoke stands as it stood for so long: most are back on another connection in seconds. One
that is silent is given up by its broker after 74 s at most (`edge_agent/uplink/paho_wire.py`); its loss has to show
within 90 s."""
GOODBYE_US = 90_000_000
"""A unit that said itself that it goes, or that was away when the centre came, has so long before it is alarmed of.
One for which its will spoke is alarmed of as soon as it is lost."""

MAX_REASONS = 20
"""The worst of a unit that has more."""

RANK: Mapping[Standing, int] = {"trouble": 0, "lost": 1, "unheard": 2, "warning": 3, "ok": 4}
_STANDING_OF: Mapping[str, Standing] = {
    "not-recording": "trouble",
    "probe-critical": "trouble",
    "alarm-critical": "trouble",
    "contact-lost": "lost",
    "centre-offline": "unheard",
    "never-heard": "unheard",
    "not-heard-yet": "unheard",
    "recording-unknown": "warning",
    "health-missing": "warning",
    "health-old": "warning",
    "probe-warning": "warning",
    "alarm-warning": "warning",
}
_CODE_RANK = {code: place for place, code in enumerate(_STANDING_OF)}
_TOLD_BY_CAMERA = frozenset({EventName.CAMERA_LOST.value, EventName.RECORDER_UNAVAILABLE.value})


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a unit stands.

    Attributes:
        standing: and
        reasons: why, worst first.
        is_online: its last status said so and nothing contradicts it.
        cameras: as they are known to be now.
        lost_since_us: since when it is lost, wall clock; None when it is not.
        alarm_us: when its loss is alarmed of, monotonic clock; None when it is not lost.
        next_us: when it stands differently if nothing is heard, monotonic clock; None: never.
    """

    standing: Standing
    reasons: tuple[Reason, ...]
    is_online: bool
    cameras: tuple[CameraView, ...]
    lost_since_us: int | None = None
    alarm_us: int | None = None
    next_us: int | None = None


def judge(
    sight: Sight, alarms: Sequence[AlarmRecord], hearing: Hearing, now_us: int, *, was_online: bool = False
) -> Verdict:
    """How a unit stands now.

    Args:
        sight: what was heard.
        alarms: its open alarms.
        hearing: whether the centre hears anybody.
        now_us: the present, monotonic clock.
        was_online: the last verdict of this unit said so.
    """
    if sight.heard_us is None:
        return _unheard(sight, "never-heard")
    if hearing.is_blind(now_us):
        return _unheard(sight, "centre-offline")
    status = sight.status
    if status is None or not hearing.counts(
        status.epoch, status.confirmed_us if status.is_online else now_us, now_us
    ):
        return _not_back(sight, hearing, now_us)
    if status.is_online:
        return _online(sight, alarms, now_us)
    lost_us = status.heard_us + (FLAP_US if status.is_will and not status.is_repeated else 0)
    if was_online and now_us < lost_us:
        verdict = _online(sight, alarms, now_us)
        return replace(verdict, next_us=min(lost_us, verdict.next_us or lost_us))
    return _lost(sight, status.since_us, _alarm_us(status), alarms)


def _unheard(sight: Sight, code: str, next_us: int | None = None) -> Verdict:
    reason = Reason(code=code, since_us=sight.heard_us)
    return Verdict("unheard", (reason,), False, _forgotten(sight.cameras), next_us=next_us)


def _not_back(sight: Sight, hearing: Hearing, now_us: int) -> Verdict:
    until_us = hearing.return_until_us()
    if until_us is None or now_us < until_us:
        return _unheard(sight, "not-heard-yet", until_us)
    return _lost(sight, sight.heard_us or 0, until_us, ())


def _alarm_us(status: StatusWord) -> int:
    return status.heard_us + (0 if status.is_will and not status.is_repeated else GOODBYE_US)


def _lost(sight: Sight, since_us: int, alarm_us: int, alarms: Sequence[AlarmRecord]) -> Verdict:
    """Its alarms stand as they stood; whether it records is not known."""
    reasons = [Reason(code="contact-lost", since_us=since_us), *_alarm_reasons(alarms, frozenset())]
    return Verdict(
        "lost", tuple(reasons[:MAX_REASONS]), False, _forgotten(sight.cameras), since_us, alarm_us, alarm_us
    )


def _online(sight: Sight, alarms: Sequence[AlarmRecord], now_us: int) -> Verdict:
    cameras = sight.cameras
    reasons: list[Reason] = []
    next_us = None
    if sight.health is None or sight.health_us is None:
        reasons.append(Reason(code="health-missing"))
        cameras = _forgotten(cameras)
    elif now_us - sight.health_us >= HEALTH_OLD_US:
        reasons.append(Reason(code="health-old", since_us=sight.health_wall_us))
        cameras = _forgotten(cameras)
    else:
        next_us = sight.health_us + HEALTH_OLD_US
        reasons += _health_reasons(sight)
    reasons += _alarm_reasons(alarms, frozenset(one.camera for one in reasons if one.code == "not-recording"))
    reasons.sort(key=lambda reason: _CODE_RANK[reason.code])
    standing = _STANDING_OF[reasons[0].code] if reasons else "ok"
    return Verdict(standing, tuple(reasons[:MAX_REASONS]), True, cameras, next_us=next_us)


def _health_reasons(sight: Sight) -> list[Reason]:
    reasons = [reason for camera in sight.cameras if (reason := _camera_reason(camera)) is not None]
    if not sight.cameras:
        reasons.append(Reason(code="recording-unknown"))
    for name in PROBES:
        probe: Probe = getattr(sight.health, name)
        if probe.state in {"critical", "warning"} and not (name == "camera" and reasons):
            figures = judged_of(probe)
            details = {"probe": name} | ({"figures": figures} if figures else {})
            reasons.append(Reason(code=f"probe-{probe.state}", details=details))
    return reasons


def _camera_reason(camera: CameraView) -> Reason | None:
    if camera.recording is None:
        return Reason(code="recording-unknown", camera=camera.name)
    if camera.recording:
        return None
    return Reason(code="not-recording", camera=camera.name, details={"cause": camera.cause} if camera.cause else {})


def _alarm_reasons(alarms: Sequence[AlarmRecord], told_cameras: frozenset[str | None]) -> list[Reason]:
    """Open alarms but those that another reason tells already, the worst first."""
    untold = [
        alarm
        for alarm in alarms
        if alarm.name != NOT_HEARD and not (alarm.name in _TOLD_BY_CAMERA and alarm.camera in told_cameras)
    ]
    return [
        Reason(
            code=f"alarm-{alarm.severity}",
            camera=alarm.camera,
            since_us=alarm.raised_us,
            details={"name": alarm.name, "alarm_id": alarm.alarm_id},
        )
        for alarm in heapq.nsmallest(MAX_REASONS, untold, key=lambda one: (one.severity, one.raised_us))
    ]


def _forgotten(cameras: Sequence[CameraView]) -> tuple[CameraView, ...]:
    """Cameras of which only the names are known now."""
    return tuple(CameraView(name=camera.name, state="unknown") for camera in cameras)
