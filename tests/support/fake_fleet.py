"""A fleet that never was: varied units for the page's tests, built of the models that the API answers with."""

import random
from typing import Any

from csu.records import ClipRecord, ClipVerdict, CommandRecord, CommandState
from csu.views import (
    AlarmRecord,
    CameraView,
    ClipEstimate,
    ClipFile,
    ClipView,
    DaySummary,
    FleetView,
    Place,
    Reason,
    Said,
    Standing,
    UnitSummary,
    UnitView,
)
from edge_agent.clock import SystemClock
from edge_agent.contract.ids import make_uuid7
from edge_agent.contract.times import format_utc

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US
STANDINGS: tuple[Standing, ...] = ("trouble", "lost", "unheard", "warning", "ok")
CLIP_ID = "0195fd2e-3d5c-7aaa-8bbb-0123456789ab"
COMMAND_ID = "0195fd2e-3d5c-7aaa-8bbb-0123456789ac"


def now_us() -> int:
    return SystemClock().wall_us()


def place(longitude_deg: float, latitude_deg: float, **more: object) -> Place:
    fields = {"fix": "3d", "accuracy_m": 6.0, "source": "gnss", "fixed_us": now_us() - MINUTE_US, "said_us": now_us()}
    return Place.model_validate({"longitude_deg": longitude_deg, "latitude_deg": latitude_deg} | fields | more)


def summary(unit_id: str, standing: Standing = "ok", **more: object) -> UnitSummary:
    """A unit that stands so, with what makes it stand so."""
    records = None if standing in {"lost", "unheard"} else standing != "trouble"
    heard_us = {"lost": now_us() - 3 * HOUR_US, "unheard": None}.get(standing, now_us() - 20_000_000)
    fields: dict[str, Any] = {
        "unit_id": unit_id,
        "standing": standing,
        "reasons": REASONS[standing],
        "online": standing in {"trouble", "warning", "ok"},
        "heard_us": heard_us,
        "cameras": () if standing == "unheard" else cameras(records),
        "open_alarms": {"trouble": 2, "warning": 1}.get(standing, 0),
        "unacknowledged_alarms": 1 if standing == "trouble" else 0,
        "software_version": "0.1.0",
        "deployment_id": "place-de-la-mairie",
    }
    return UnitSummary(**(fields | more))


def cameras(recording: bool | None) -> tuple[CameraView, ...]:
    state = {True: "ok", False: "critical", None: "unknown"}[recording]
    main = CameraView.model_validate({"name": "main", "state": state, "recording": recording, "bitrate_kbps": 3900})
    dome = CameraView(name="dome", state="ok", recording=None if recording is None else True)
    return main, dome


REASONS: dict[Standing, tuple[Reason, ...]] = {
    "trouble": (
        Reason(code="not-recording", camera="main", since_us=now_us() - HOUR_US, details={"cause": "camera-lost"}),
        Reason(code="alarm-critical", camera="main", details={"name": "camera-lost", "alarm_id": "a-1"}),
    ),
    "lost": (Reason(code="contact-lost", since_us=now_us() - 3 * HOUR_US),),
    "unheard": (Reason(code="never-heard"),),
    "warning": (Reason(code="alarm-warning", details={"name": "temperature-high"}),),
    "ok": (),
}


def small_fleet() -> list[UnitSummary]:
    """One of each standing and some more, in a town; two at one place, one without a place."""
    return [
        summary("nomad-07", "trouble", place=place(2.3522, 48.8566)),
        summary("nomad-12", "lost", place=place(2.3601, 48.8610, last_known=True, fix="none")),
        summary("nomad-19", "unheard"),
        summary("nomad-03", "warning", place=place(2.3415, 48.8532)),
        summary("nomad-01", place=place(2.3470, 48.8590)),
        summary("nomad-02", place=place(2.34701, 48.85901), open_commands=1),
        summary("nomad-22", place=place(2.3655, 48.8541, fix="fixed", source="settings", fixed_us=None)),
    ]


def large_fleet(count: int) -> list[UnitSummary]:
    """So many units all over a city; most are well."""
    chance = random.Random(7)
    weights = (4, 3, 2, 8, 83)
    fleet = []
    for number in range(1, count + 1):
        (standing,) = chance.choices(STANDINGS, weights)
        where = place(2.35 + chance.gauss(0, 0.04), 48.86 + chance.gauss(0, 0.025))
        fleet.append(summary(f"nomad-{number:03}", standing, place=where if number % 25 else None))
    return fleet


def fleet_view(units: list[UnitSummary], *, broker_connected: bool = True) -> FleetView:
    counts: dict[Standing, int] = {name: sum(unit.standing == name for unit in units) for name in STANDINGS}
    unheard = tuple(unit.unit_id for unit in units if unit.standing in {"lost", "unheard"})
    return FleetView(
        at=now_us(),
        broker_connected=broker_connected,
        counts=counts,
        units=tuple(units),
        not_recording=unheard,
        not_heard=unheard,
    )


def unit_view(unit: UnitSummary) -> UnitView:
    heard_us = now_us() - 20 * MINUTE_US
    return UnitView(
        summary=unit,
        enrolled_us=now_us() - 40 * DAY_US,
        health=Said(heard_us=heard_us, body=health_body(heard_us)),
        coverage=Said(heard_us=heard_us, body=coverage_body(heard_us)),
        position=Said(heard_us=heard_us, body=position_body()) if unit.place else None,
        ignored=0,
    )


def position_body() -> dict[str, Any]:
    properties = {"fix": "3d", "accuracy_m": 6.0, "age_s": 3.0, "satellites_used": 9, "satellites_seen": 14}
    return {"type": "Feature", "geometry": None, "properties": properties | {"source": "gnss"}}


def health_body(at_us: int) -> dict[str, Any]:
    main = {"state": "critical", "recording": False, "cause": "camera-lost", "detail": "no packet for 12 s"}
    dome = {"state": "ok", "recording": True, "frames_per_second": 25.0, "bitrate_kbps": 2100.0, "codec": "h264"}
    interfaces = [{"name": "wwan0", "state": "up", "received_bytes": 120_000_000, "sent_bytes": 2_400_000_000}]
    return {
        "schema": "health/1",
        "at": format_utc(at_us),
        "camera": {"state": "critical", "cameras": {"main": main, "dome": dome}},
        "storage": {"state": "ok", "free_bytes": 93_000_000_000, "total_bytes": 2e12, "days_that_fit": 21.4},
        "power": {"state": "unknown"},
        "network": {"state": "ok", "round_trip_ms": 84.0, "sent_kbps": 1800.0, "interfaces": interfaces},
        "clock": {"state": "ok", "source": "gnss", "clock_bound_ms": 0.4},
        "system": {
            "state": "warning",
            "temperature_c": 78.2,
            "cpu_load_share": 0.41,
            "memory_used_share": 0.55,
            "uptime_s": 812_345,
            "judged": {"temperature_c": "warning"},
        },
    }


def coverage_body(at_us: int) -> dict[str, Any]:
    edges = [(0, 7, None), (7, 7.6, "boot"), (7.6, 16, None), (16, 16.05, "restart"), (16.05, 22.8, None)]
    start_us = at_us - DAY_US
    last = [interval(start_us, *edge) for edge in [*edges, (22.8, 24, "camera-lost")]]
    lost = [0, 0, 1800, 0, 86400, 43200, 0, 0, 12, 0, 0, 0, 3600, 0]
    days = [
        {"day": format_utc(at_us - (14 - number) * DAY_US)[:10], "held_s": 86400 - gone, "lost_s": gone}
        for number, gone in enumerate(lost)
    ]
    main = {
        "camera": "main",
        "oldest": format_utc(at_us - 14 * DAY_US),
        "newest": format_utc(at_us),
        "size_bytes": 602_000_000_000,
        "hours_until_overwrite": 190.0,
        "days": days,
        "last_24h": last,
    }
    dome = {
        "camera": "dome",
        "oldest": format_utc(at_us - DAY_US // 2),
        "size_bytes": 11_340_000_000,
        "days": [],
        "last_24h": [interval(start_us, 12, 24, None)],
    }
    return {"schema": "coverage/1", "at": format_utc(at_us), "cameras": [main, dome]}


def interval(start_us: int, from_h: float, to_h: float, cause: str | None) -> dict[str, Any]:
    found = {
        "from": format_utc(start_us + round(from_h * HOUR_US)),
        "to": format_utc(start_us + round(to_h * HOUR_US)),
    }
    return found | {"held": cause is None} | ({} if cause is None else {"cause": cause})


def alarm(alarm_id: str, unit_id: str = "nomad-07", name: str = "camera-lost", **more: object) -> AlarmRecord:
    fields: dict[str, Any] = {
        "camera": "main",
        "origin": "unit",
        "severity": "critical",
        "raised_us": now_us() - HOUR_US,
    }
    return AlarmRecord(**({"alarm_id": alarm_id, "unit_id": unit_id, "name": name} | fields | more))


def some_alarms() -> list[AlarmRecord]:
    earlier = now_us() - 5 * HOUR_US
    taken = {"acknowledged_us": now_us() - MINUTE_US, "acknowledged_by": "M. Durand", "note": "technician called"}
    return [
        alarm("a-1", details={"cause": "camera-lost", "detail": "no packet for 12 s"}),
        alarm("a-2", "nomad-03", "temperature-high", camera=None, severity="warning", **taken),
        alarm("a-3", "nomad-12", "not-heard", camera=None, origin="centre"),
        alarm("a-4", "nomad-01", "storage-low", camera=None, severity="warning", raised_us=earlier).model_copy(
            update={"cleared_us": earlier + HOUR_US} | taken
        ),
        alarm("a-5", "@centre", "disk-low", camera=None, origin="centre"),
    ]


def command(state: CommandState = "running", **more: object) -> CommandRecord:
    """A request for footage."""
    progress = {
        "sent_bytes": 61_000_000,
        "total_bytes": 148_000_000,
        "expected_end": format_utc(now_us() + 6 * MINUTE_US),
    }
    start_us = now_us() - 2 * HOUR_US
    fields: dict[str, Any] = {
        "command_id": COMMAND_ID,
        "unit_id": "nomad-07",
        "cmd": "clip.request",
        "params": {"camera": "main", "from": format_utc(start_us), "to": format_utc(start_us + 5 * MINUTE_US)},
        "operator": "A. Martin",
        "role": "operator",
        "reference": "PV 2026/118",
        "purpose": "requisition",
        "issued_us": now_us() - 3 * MINUTE_US,
        "expires_us": now_us() + DAY_US,
        "state": state,
        "reply": {"state": state, "progress": progress} if state == "running" else None,
        "replied_us": now_us() - 2_000_000,
        "sent": 1,
        "version": 3,
    }
    return CommandRecord(**(fields | more))


def clip_record(verdict: ClipVerdict = "verified") -> ClipRecord:
    fields = {"clip_id": CLIP_ID, "unit_id": "nomad-07", "folder": "/clips", "receipts_sent": 1}
    return ClipRecord.model_validate(fields | {"completed_at": format_utc(now_us() - HOUR_US), "verdict": verdict})


def clip_view(files: tuple[ClipFile, ...]) -> ClipView:
    start_us = now_us() - 2 * HOUR_US
    span = {"from": format_utc(start_us), "to": format_utc(start_us + 5 * MINUTE_US)}
    gap = {"from": format_utc(start_us + MINUTE_US), "to": format_utc(start_us + MINUTE_US + 8_000_000)}
    return ClipView(
        clip_id=CLIP_ID,
        unit_id="nomad-07",
        completed_us=now_us() - HOUR_US,
        verdict="verified",
        camera="main",
        asked=span,
        delivered=span,
        gaps=(gap | {"cause": "restart"},),
        clock_source="gnss",
        clock_bound_ms=0.4,
        positions=({"longitude_deg": 2.3522, "latitude_deg": 48.8566, "accuracy_m": 6.0},),
        files=files,
        command_state="done",
    )


def clip_files(names: list[tuple[str, int]], codec: str = "h264") -> tuple[ClipFile, ...]:
    base = f"/v1/clips/nomad-07/{CLIP_ID}/files"
    start_us = now_us() - 2 * HOUR_US
    parts = [
        ClipFile(
            name=name,
            size_bytes=size_bytes,
            kind="part",
            url=f"{base}/{name}",
            codec=codec,
            start_us=start_us + index * 4_000_000,
            end_us=start_us + (index + 1) * 4_000_000,
            preroll_s=0.64,
        )
        for index, (name, size_bytes) in enumerate(names)
    ]
    manifest = ClipFile(name="manifest.jws", size_bytes=21_431, kind="manifest", url=f"{base}/manifest.jws")
    return (*parts, manifest)


def estimate(**more: object) -> ClipEstimate:
    start_us = now_us() - HOUR_US
    gap = {"from": format_utc(start_us), "to": format_utc(start_us + 12_000_000), "cause": "restart"}
    fields: dict[str, Any] = {
        "size_bytes": 148_000_000,
        "held_s": 288.0,
        "missing_s": 12.0,
        "gaps": (gap,),
        "expected_s": 592.0,
        "rate_kbps": 2000.0,
        "rate_basis": "measured",
        "overwrite_us": now_us() + 9 * DAY_US,
        "overwrite_risk": "none",
        "coverage_heard_us": now_us() - 20 * MINUTE_US,
    }
    return ClipEstimate(**(fields | more))


def day_summary(day: str, units: list[UnitSummary]) -> DaySummary:
    rows = tuple(
        {
            "unit_id": unit.unit_id,
            "standing": unit.standing,
            "held_s": 172_800 if unit.standing == "ok" else 150_000,
            "lost_s": 0 if unit.standing == "ok" else 22_800,
            "alarms": unit.open_alarms,
            "clips": 1,
            "offline_s": 10_800 if unit.standing == "lost" else 0,
        }
        for unit in units
    )
    view = fleet_view(units)
    return DaySummary(
        day=day,
        zone="Europe/Paris",
        units=len(units),
        standing_now=view.counts,
        recorded_share=0.9934,
        lost_s=68_400,
        alarms_raised=7,
        alarms_open=3,
        alarms_unacknowledged=2,
        clips_delivered=4,
        clips_failed=1,
        not_recording=("nomad-07",),
        not_heard=view.not_heard,
        rows=rows,
    )


def new_id() -> str:
    return make_uuid7(now_us())
