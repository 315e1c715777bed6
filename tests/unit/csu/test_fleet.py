"""How units stand: nothing is green that was not heard."""

import json
from collections.abc import Sequence

import pytest

from csu import stored_commands, stored_units
from csu.errors import RequestRefusedError
from csu.fleet_hearing import Hearing
from csu.fleet_standing import FLAP_US, GOODBYE_US, HEALTH_OLD_US, Verdict, judge
from csu.fleet_unit import Sight
from csu.registry import Registry
from csu.views import AlarmRecord
from edge_agent.contract.messages import Health, Status
from tests.unit.csu.replies import make_command, make_record
from tests.unit.csu.watched import (
    HOUR_US,
    MINUTE_US,
    NOW_US,
    UNIT,
    Watched,
    alarms,
    event,
    health,
    online,
    position,
    watched,
    will,
)


async def well(registry: Registry, broker_began_us: int | None = None) -> Watched:
    """A unit that is heard and well."""
    bench = await watched(registry, broker_began_us)
    await bench.hear("status", online())
    await bench.hear("health", health())
    return bench


async def test_a_unit_that_was_never_heard_is_unheard(registry: Registry) -> None:
    bench = await watched(registry)
    assert await bench.codes() == ("unheard", ["never-heard"])
    assert (await bench.fleet.view()).not_heard == (UNIT,)


async def test_a_unit_that_is_heard_and_well_is_ok(registry: Registry) -> None:
    bench = await well(registry)
    await bench.hear("position", position())
    summary = await bench.stands()
    assert (summary.standing, summary.reasons, summary.online) == ("ok", (), True)
    assert summary.place is not None
    assert (summary.place.longitude_deg, summary.place.fixed_us) == (2.35, NOW_US - 2_000_000)
    assert summary.cameras[0].recording is True
    view = await bench.fleet.view()
    assert (view.counts["ok"], view.not_recording, view.not_heard) == (1, (), ())


async def test_online_without_health_is_no_ok(registry: Registry) -> None:
    bench = await watched(registry)
    await bench.hear("status", online())
    assert await bench.codes() == ("warning", ["health-missing"])
    await bench.hear("health", Health.from_object(health().to_object() | {"camera": {"state": "ok"}}))
    assert await bench.codes() == ("warning", ["recording-unknown"])
    assert (await bench.fleet.view()).not_recording == (UNIT,)


async def test_what_is_wrong_is_told_worst_first(registry: Registry) -> None:
    bench = await well(registry)
    await bench.hear("health", health(recording=False, storage="critical", clock="warning"))
    await bench.hear("alarms", alarms(NOW_US, ("camera-lost", "main", NOW_US), ("memory-low", None, NOW_US)))
    summary = await bench.stands()
    assert summary.standing == "trouble"
    assert [reason.code for reason in summary.reasons] == [
        "not-recording",
        "probe-critical",
        "probe-warning",
        "alarm-warning",
    ]
    assert summary.reasons[0].details == {"cause": "absent"}
    assert (summary.open_alarms, summary.unacknowledged_alarms) == (2, 2)


@pytest.mark.parametrize(
    ("judged", "figures"),
    [
        ({"load_per_processor": "warning", "memory_available_share": "ok"}, {"figures": ["load_per_processor"]}),
        ({f"figure_{number}": "warning" for number in range(9)}, {"figures": ["figure_0", "figure_1", "figure_2"]}),
        ({}, {}),
        (["load"], {}),
        (None, {}),
        ("warning", {}),
    ],
)
async def test_a_probe_that_is_not_well_names_its_figures(
    registry: Registry, judged: object, figures: dict[str, list[str]]
) -> None:
    bench = await well(registry)
    body = health().to_object() | {"system": {"state": "warning", "judged": judged}}
    await bench.hear("health", Health.from_object(body))
    (reason,) = (await bench.stands()).reasons
    assert (reason.code, reason.details) == ("probe-warning", {"probe": "system"} | figures)


async def test_a_unit_whose_will_spoke_is_lost_and_alarmed_of_when_it_is_not_back(registry: Registry) -> None:
    bench = await well(registry)
    await bench.settle()
    await bench.hear("status", will())
    bench.clock.advance(FLAP_US / 1e6 - 0.1)
    assert (await bench.codes())[0] == "ok"
    assert await bench.open_names() == []
    bench.clock.advance(0.1)
    summary = await bench.stands()
    assert (summary.standing, summary.online, summary.reasons[0].code) == ("lost", False, "contact-lost")
    assert summary.reasons[0].since_us == NOW_US
    assert [camera.recording for camera in summary.cameras] == [None]
    assert await bench.open_names() == ["not-heard"]
    (alarm,) = await bench.alarms.list(UNIT, True, 10)
    assert (alarm.severity, alarm.origin, alarm.details) == ("critical", "centre", {"recording": ["main"]})
    await bench.hear("status", online("2"))
    assert (await bench.codes())[0] == "ok"
    assert await bench.open_names() == []
    assert (await bench.stands()).unacknowledged_alarms == 1


async def test_a_unit_that_is_back_soon_was_never_away(registry: Registry) -> None:
    bench = await well(registry)
    await bench.settle()
    for number in range(2, 12):
        await bench.hear("status", will())
        bench.clock.advance(FLAP_US / 1e6 - 1)
        await bench.settle()
        await bench.hear("status", online(str(number)))
        await bench.settle()
    assert {item["standing"] for item in bench.items if item["kind"] == "unit"} == {"ok"}
    assert await bench.alarms.list(UNIT, None, 10) == []


async def test_what_goes_wrong_while_a_will_rests_shows(registry: Registry) -> None:
    bench = await well(registry)
    await bench.settle()
    await bench.hear("status", will())
    await bench.hear("health", health(recording=False))
    assert await bench.codes() == ("trouble", ["not-recording"])
    bench.clock.advance(FLAP_US / 1e6)
    assert (await bench.codes())[0] == "lost"


async def test_the_will_of_a_unit_that_was_not_online_rests_not(registry: Registry) -> None:
    bench = await watched(registry)
    await bench.hear("status", will())
    assert (await bench.codes())[0] == "lost"


async def test_a_unit_that_says_goodbye_has_time_to_come_back(registry: Registry) -> None:
    bench = await well(registry)
    goodbye = Status.from_object(will().to_object() | {"at": NOW_US})
    await bench.hear("status", goodbye)
    assert (await bench.codes())[0] == "lost"
    assert await bench.open_names() == []
    bench.clock.advance(GOODBYE_US / 1e6 - 1)
    await bench.settle()
    assert await bench.open_names() == []
    bench.clock.advance(1)
    await bench.settle()
    assert await bench.open_names() == ["not-heard"]


async def test_word_grows_old(registry: Registry) -> None:
    bench = await well(registry)
    bench.clock.advance(HEALTH_OLD_US / 1e6 - 1)
    assert (await bench.codes())[0] == "ok"
    bench.clock.advance(1)
    summary = await bench.stands()
    assert (summary.standing, summary.reasons[0].code) == ("warning", "health-old")
    assert summary.cameras[0].recording is None
    assert summary.reasons[0].since_us == NOW_US
    await bench.hear("health", health(NOW_US + HEALTH_OLD_US))
    assert (await bench.codes())[0] == "ok"


@pytest.mark.parametrize("step_s", [-86_400 * 365, -3600, 3600, 86_400 * 3650])
async def test_a_step_of_the_centres_wall_clock_changes_no_standing(registry: Registry, step_s: float) -> None:
    bench = await well(registry)
    bench.clock.step_wall(step_s)
    bench.clock.advance(60)
    bench.fleet.mark(UNIT)
    assert (await bench.codes())[0] == "ok"
    await bench.lose()
    await bench.settle()
    assert await bench.open_names() == ["not-heard"]


async def test_without_a_broker_nobody_is_known(registry: Registry) -> None:
    bench = await well(registry)
    bench.fleet.link(False)
    bench.clock.advance(5)
    assert (await bench.codes())[0] == "ok"
    bench.clock.advance(6)
    assert await bench.codes() == ("unheard", ["centre-offline"])
    assert await bench.open_names() == []
    bench.fleet.link(True)
    assert await bench.codes() == ("unheard", ["not-heard-yet"])
    await bench.hear("status", online(), retained=True)
    assert (await bench.codes())[0] == "ok"


async def test_a_short_break_of_the_centres_connection_shows_nothing(registry: Registry) -> None:
    bench = await well(registry)
    await bench.settle()
    told = len(bench.items)
    bench.fleet.link(False)
    await bench.settle()
    bench.clock.advance(2)
    bench.fleet.link(True)
    await bench.settle()
    await bench.hear("status", online(), retained=True)
    bench.clock.advance(10)
    assert (await bench.codes())[0] == "ok"
    assert [item["kind"] for item in bench.items[told:]] == ["service", "service"]


async def test_a_unit_that_the_broker_does_not_repeat_is_lost(registry: Registry) -> None:
    bench = await well(registry)
    bench.fleet.link(False)
    bench.clock.advance(2)
    bench.fleet.link(True)
    bench.clock.advance(6)
    assert await bench.codes() == ("unheard", ["not-heard-yet"])
    bench.clock.advance(180)
    assert await bench.codes() == ("lost", ["contact-lost"])
    assert await bench.open_names() == ["not-heard"]


async def test_after_a_restart_of_the_centre_only_what_is_heard_again_counts(registry: Registry) -> None:
    bench = await well(registry)
    await bench.hear("position", position())
    bench.begin()
    await bench.load()
    assert await bench.codes() == ("unheard", ["centre-offline"])
    bench.clock.advance(3600)
    bench.fleet.link(True)
    summary = await bench.stands()
    assert (summary.standing, summary.reasons[0].code, summary.heard_us) == ("unheard", "not-heard-yet", NOW_US)
    assert summary.place is not None, "where it was is known still"
    assert summary.cameras[0].recording is None
    await bench.hear("status", online(), retained=True)
    assert await bench.codes() == ("warning", ["health-missing"])
    await bench.hear("health", health(), retained=True)
    assert (await bench.codes())[0] == "ok"
    assert (await bench.stands()).heard_us == NOW_US, "a repetition is no word of the unit"
    bench.clock.advance(1.5 * 3600)
    assert await bench.codes() == ("warning", ["health-old"])


async def test_a_repeated_health_is_as_old_as_it_says(registry: Registry) -> None:
    bench = await watched(registry)
    await bench.hear("status", online(), retained=True)
    await bench.hear("health", health(NOW_US - 3 * HOUR_US), retained=True)
    assert await bench.codes() == ("warning", ["health-old"])


async def test_an_own_broker_that_was_restarted_vouches_for_nobody(registry: Registry) -> None:
    bench = await well(registry, broker_began_us=0)
    assert (await bench.codes())[0] == "ok"
    bench.fleet.link(False)
    bench.clock.advance(1)
    bench.broker_began_us = bench.clock.monotonic_us()
    bench.fleet.link(True)
    await bench.hear("status", online(), retained=True)
    assert await bench.codes() == ("unheard", ["not-heard-yet"])
    bench.clock.advance(181)
    assert await bench.codes() == ("lost", ["contact-lost"])
    assert await bench.open_names() == ["not-heard"]
    await bench.hear("status", online("2"))
    assert (await bench.codes())[0] == "ok"


async def test_a_unit_that_was_faster_than_the_centre_is_heard_from_the_repetition(registry: Registry) -> None:
    bench = await well(registry, broker_began_us=0)
    bench.fleet.link(False)
    bench.broker_began_us = bench.clock.monotonic_us()
    bench.clock.advance(1)
    bench.fleet.link(True)
    await bench.hear("status", online("another nonce"), retained=True)
    assert (await bench.codes())[0] == "ok"


async def restarted_beside(bench: Watched) -> None:
    """An hour later centre and broker are started again, and the broker repeats what it retained."""
    bench.clock.advance(3600)
    bench.begin()
    bench.broker_began_us = bench.clock.monotonic_us()
    await bench.load()
    bench.clock.advance(1)
    bench.fleet.link(True)


async def test_a_leftover_of_a_unit_that_was_let_in_again_makes_nothing_green(registry: Registry) -> None:
    bench = await well(registry, broker_began_us=0)
    await registry.run(stored_units.remove_unit, UNIT)
    await registry.run(stored_units.add_unit, UNIT, NOW_US)
    await restarted_beside(bench)
    await bench.hear("status", online(), retained=True)
    await bench.hear("health", health(), retained=True)
    assert await bench.codes() == ("unheard", ["not-heard-yet"])
    assert (await bench.stands()).heard_us == NOW_US, "an hour ago, however new it is to the registry"


async def test_a_leftover_that_a_kill_kept_out_of_the_registry_makes_nothing_green(registry: Registry) -> None:
    bench = await well(registry, broker_began_us=0)
    await restarted_beside(bench)
    await bench.hear("status", online("never stored"), retained=True)
    await bench.hear("health", health(), retained=True)
    assert await bench.codes() == ("unheard", ["not-heard-yet"])


async def test_a_word_as_it_is_said_shows_that_a_unit_is_connected(registry: Registry) -> None:
    bench = await well(registry, broker_began_us=0)
    await restarted_beside(bench)
    await bench.hear("status", online("of a clock that is behind"), retained=True)
    await bench.hear("position", position())
    await bench.hear("health", health(), retained=True)
    assert (await bench.codes())[0] == "ok"
    await bench.lose()
    await bench.hear("health", health(NOW_US + 1))
    assert (await bench.codes())[0] == "lost"


async def test_a_unit_that_was_away_when_the_centre_came_is_alarmed_of_after_a_while(registry: Registry) -> None:
    bench = await well(registry)
    await bench.hear("status", will())
    bench.begin()
    await bench.load()
    bench.fleet.link(True)
    await bench.hear("status", will(), retained=True)
    assert (await bench.codes())[0] == "lost"
    assert await bench.open_names() == []
    bench.clock.advance(91)
    await bench.settle()
    (alarm,) = await bench.alarms.list(UNIT, True, 10)
    assert (alarm.name, alarm.raised_us) == ("not-heard", NOW_US)


async def test_only_changes_that_somebody_sees_are_told(registry: Registry) -> None:
    bench = await well(registry)
    await bench.settle()
    bench.items.clear()
    for _ in range(100):
        bench.clock.advance(0.1)
        await bench.hear("health", health())
        await bench.settle()
    assert [item for item in bench.items if item["kind"] == "unit"] == []
    bench.clock.advance(60)
    await bench.settle()
    assert len([item for item in bench.items if item["kind"] == "unit"]) == 1


async def test_many_messages_at_once_are_told_once(registry: Registry) -> None:
    bench = await well(registry)
    await bench.settle()
    bench.items.clear()
    for number in range(50):
        await bench.hear("health", health(recording=number % 2 == 0))
    await bench.settle()
    (item,) = [item for item in bench.items if item["kind"] == "unit"]
    assert item["standing"] == "trouble"


async def test_a_unit_that_speaks_without_pause_fills_no_memory(registry: Registry) -> None:
    bench = await well(registry)
    for number in range(300):
        bench.clock.advance(0.1)
        await bench.hear("health", health(NOW_US + number))
        await bench.settle()
    assert len(bench.fleet._due) <= 3
    bench.clock.advance(HEALTH_OLD_US / 1e6 - 1)
    assert (await bench.codes())[0] == "ok"
    bench.clock.advance(1)
    assert (await bench.codes())[0] == "warning"


async def test_what_is_looked_at_is_told_to_watchers_too(registry: Registry) -> None:
    bench = await well(registry)
    await bench.fleet.view()
    await bench.settle()
    assert [item["standing"] for item in bench.items if item["kind"] == "unit"] == ["ok"]


async def test_a_message_judges_its_own_unit_alone(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = await well(registry)
    for number in range(300):
        bench.fleet.add(f"nomad-{number:03}")
    bench.clock.advance(200)  # past the time in which units come back to a broker
    await bench.settle()
    judged: list[str] = []

    def count(
        sight: Sight, alarms: Sequence[AlarmRecord], hearing: Hearing, now_us: int, *, was_online: bool
    ) -> Verdict:
        judged.append(sight.unit_id)
        return judge(sight, alarms, hearing, now_us, was_online=was_online)

    monkeypatch.setattr("csu.fleet.judge", count)
    await bench.hear("health", health(recording=False))
    await bench.settle()
    assert judged == [UNIT]
    bench.clock.advance(HEALTH_OLD_US / 1e6)
    await bench.settle()
    assert judged == [UNIT, UNIT], "what grows old is found without looking at the others"


async def test_open_commands_are_counted(registry: Registry) -> None:
    await registry.run(stored_commands.add_command, make_command())
    bench = await watched(registry)
    assert (await bench.stands()).open_commands == 1
    bench.feed.publish({"kind": "command"} | make_record("done").to_object())
    assert (await bench.stands()).open_commands == 0


async def test_units_come_and_go(registry: Registry) -> None:
    bench = await watched(registry)
    await registry.run(stored_units.add_unit, "nomad-08", NOW_US)
    bench.fleet.add("nomad-08")
    assert {unit.unit_id for unit in (await bench.fleet.view()).units} == {UNIT, "nomad-08"}
    bench.fleet.remove("nomad-08")
    with pytest.raises(RequestRefusedError):
        await bench.fleet.summary_of("nomad-08")
    bench.fleet.hear("nomad-08", online(unit_id="nomad-08"))
    assert [unit.unit_id for unit in (await bench.fleet.view()).units] == [UNIT]


@pytest.mark.parametrize(
    "cameras", [None, [], "x", {"main": None}, {"main": {"recording": 1, "state": []}}, {"": {}}]
)
async def test_odd_figures_of_a_camera_make_nothing_green(registry: Registry, cameras: object) -> None:
    bench = await watched(registry)
    await bench.hear("status", online())
    body = health().to_object() | {"camera": {"state": "ok", "cameras": cameras}}
    await bench.hear("health", Health.from_object(body))
    summary = await bench.stands()
    assert summary.standing == "warning"
    json.dumps(summary.to_object(), allow_nan=False)


async def test_absurd_places_are_none(registry: Registry) -> None:
    bench = await well(registry)
    for longitude_deg, latitude_deg in ((181.0, 0.0), (0.0, -90.5), (1e300, 1e300)):
        await bench.hear("position", position(longitude_deg, latitude_deg))
        assert (await bench.stands()).place is None
    await bench.hear("position", position(age_s=1e300))
    assert (await bench.stands()).place is not None


async def test_a_lost_unit_keeps_its_own_alarms(registry: Registry) -> None:
    bench = await well(registry)
    await bench.hear_event(event("raised", NOW_US, "storage-error"))
    await bench.lose()
    assert await bench.codes() == ("lost", ["contact-lost", "alarm-critical"])
    bench.clock.advance(MINUTE_US / 1e6)
    assert sorted(await bench.open_names()) == ["not-heard", "storage-error"]
