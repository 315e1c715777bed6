"""A page that is open for days beside units that say anything: nothing stops it, nothing is fresher than it is."""

import json
import re
from typing import Any

import pytest
from playwright.async_api import Browser, Route, expect

from csu.views import Reason
from edge_agent.clock import SystemClock
from tests.support.browser import new_page
from tests.support.fake_centre import FakeCentre
from tests.support.fake_fleet import DAY_US, alarm, coverage_body, health_body, now_us, position_body, summary
from tests.support.page_views import UNIT, open_view
from tests.support.polling import until

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

EVIL = '<img src=x onerror="document.title=`taken`">'
TEMPLATE = {"_$litType$": 1, "strings": [EVIL], "values": []}
DIRECTIVE = {"_$litDirective$": 1, "values": []}
ODD: list[Any] = [
    None,
    5,
    True,
    EVIL,
    [1, [2]],
    {"a": {}},
    TEMPLATE,
    DIRECTIVE,
    "constructor",
    "__proto__",
    {"toString": 1},
]
"""What may stand in a figure's place."""


def said(body: dict[str, Any], heard_us: int | None = None) -> dict[str, Any]:
    return {"heard_at": _text(heard_us or now_us()), "body": body}


def _text(at_us: int) -> str:
    return str(alarm("a", raised_us=at_us).to_object()["raised_at"])


def odd_health(value: object) -> dict[str, Any]:
    """A body that the contract's model takes, and in which every figure is something else."""
    names = ("cameras", "interfaces", "processes", "warnings", "judged", "detail", "cause", "temperature_c", "source")
    figures = dict.fromkeys(names, value) | {"state": "ok", EVIL: value}
    camera = figures | {"recording": value, "bitrate_kbps": value}
    lists = {"interfaces": [value, figures], "processes": [figures, value], "judged": {"temperature_c": value}}
    probes: dict[str, Any] = dict.fromkeys(("storage", "power", "clock"), figures)
    probes |= {"network": figures | lists, "system": figures | lists}
    return probes | {
        "at": _text(now_us()),
        "camera": figures | {"cameras": {"main": camera, "dome": value, EVIL: camera | {"warnings": [value]}}},
    }


def odd_coverage(value: object) -> dict[str, Any]:
    """As the contract's model leaves it."""
    body: dict[str, Any] = coverage_body(now_us())
    return body | {"more": value}


@pytest.mark.parametrize("value", ODD, ids=lambda value: json.dumps(value)[:20])
async def test_no_figure_of_a_unit_stops_the_page(browser: Browser, centre: FakeCentre, value: object) -> None:
    centre.views["nomad-07"] = {
        "health": said(odd_health(value)),
        "position": said({"properties": dict.fromkeys(position_body()["properties"], value) | {"detail": value}}),
        "coverage": said(odd_coverage(value)),
    }
    centre.alarms["a-9"] = alarm(
        "a-9", name=EVIL, details={"detail": value, "cause": value, "reason": value, "x_s": value}
    )
    async with new_page(browser) as page:
        await open_view(page, centre, "unit")
        await expect(page.locator("[aria-labelledby=health-title] .probe")).to_have_count(6)
        reason = Reason(
            code="probe-critical", details={"probe": value, "name": value, "cause": value, "figures": value}
        )
        centre.change(summary("nomad-07", "trouble", reasons=(reason,)))
        centre.change(summary("nomad-07", "warning"))
        await expect(page.locator("h1 ~ .badge")).to_contain_text("Warning")
        await page.evaluate("location.hash = '#/alarms'")
        await expect(page.locator(".alarm")).not_to_have_count(0)
        await centre.close()
        await expect(page.locator("[role=alert]")).to_contain_text("Connection to the server lost")
        assert "taken" not in await page.title()


async def test_a_view_that_cannot_be_drawn_says_so(browser: Browser, centre: FakeCentre) -> None:
    centre.views["nomad-07"] = {"coverage": said({"cameras": [None]})}
    async with new_page(browser) as page:
        await page.goto(f"{centre.url}{UNIT}")
        await expect(page.locator("main .note-trouble")).to_contain_text("cannot show")
        await centre.close()
        await expect(page.locator("[role=alert]")).to_contain_text("Connection to the server lost")
        await page.evaluate("location.hash = '#/'")
        await expect(page.locator(".unit-row")).to_have_count(7)


async def test_an_odd_answer_stops_no_bar(browser: Browser, centre: FakeCentre) -> None:
    held = {"from": _text(now_us() - 3600 * 10**6), "to": _text(now_us() - 10**6), "held": True}
    result: dict[str, Any] = {"intervals": [None, 5, EVIL, [held], {"from": EVIL, "to": None, "cause": {}}, held]}
    async with new_page(browser) as page:
        await page.goto(centre.url)
        await page.evaluate("localStorage.setItem('csu-page', JSON.stringify({operator: 'A. Martin'}))")
        await open_view(page, centre, "unit")
        await page.click("[aria-labelledby=coverage-title] button:has-text('Ask the unit now') >> nth=0")
        await until(lambda: centre.posted, what="the question")
        asked = list(centre.commands.values())[-1]
        answer = {"state": "done", "reply": {"state": "done", "result": result}, "replied_us": now_us()}
        centre.change_command(asked.model_copy(update=answer))
        await expect(page.locator("[aria-labelledby=coverage-title] .bar >> nth=0 >> [data-stretch]")).to_have_count(
            1
        )
        await expect(page.locator("main .note-trouble")).to_have_count(0)


async def test_a_unit_that_is_shut_out_is_shown_no_more(browser: Browser, centre: FakeCentre) -> None:
    async with new_page(browser) as page:
        centre.units["nomad-07"] = summary("nomad-07")
        await open_view(page, centre, "unit")
        await expect(page.locator("main [data-standing=ok]").first).to_be_visible()
        centre.units.pop("nomad-07")
        centre.publish("unit-removed", {"unit_id": "nomad-07"})
        await expect(page.locator("main .note-trouble").first).to_be_visible()
        await expect(page.locator("main [data-standing=ok]")).to_have_count(0)


async def test_a_unit_that_was_shut_out_meanwhile_is_shown_no_more(browser: Browser, centre: FakeCentre) -> None:
    async with new_page(browser) as page:
        centre.units["nomad-07"] = summary("nomad-07")
        await open_view(page, centre, "unit")
        await centre.close()
        centre.units.pop("nomad-07")
        await centre.open()
        await page.wait_for_selector("html[data-connection=live]", state="attached")
        await expect(page.locator("main .note-trouble").first).to_be_visible()
        await expect(page.locator("main [data-standing=ok]")).to_have_count(0)


@pytest.mark.parametrize("ahead_us", [2 * 365 * DAY_US, -56 * 365 * DAY_US], ids=["ahead", "1970"])
async def test_a_wrong_clock_makes_nothing_fresher(browser: Browser, centre: FakeCentre, ahead_us: int) -> None:
    at_us, heard_us = now_us() + ahead_us, now_us() - 50 * 60_000_000
    bodies = {"health": health_body(at_us), "coverage": coverage_body(at_us)}
    centre.views["nomad-07"] = {name: said(body, heard_us) for name, body in bodies.items()}
    async with new_page(browser) as page:
        await open_view(page, centre, "unit")
        for title in ("health-title", "coverage-title"):
            await expect(page.locator(f"[aria-labelledby={title}] .as-of time-ago").first).to_have_text("50 min ago")


@pytest.mark.parametrize("step_h", [8, -1], ids=["slept", "clock set back"])
async def test_a_page_that_slept_does_not_take_its_memory_for_the_present(
    browser: Browser, centre: FakeCentre, step_h: int
) -> None:
    async with new_page(browser) as page:
        await page.add_init_script("{const now = Date.now; window.step = 0; Date.now = () => now() + window.step;}")
        await open_view(page, centre, "fleet")
        await page.evaluate(f"window.step = {step_h} * 3600 * 1000")
        await page.wait_for_selector("html[data-connection=lost]", state="attached", timeout=10_000)
        await page.wait_for_selector("html[data-connection=live]", state="attached")
        await expect(page.locator(".unit-row").nth(3).locator("time-ago")).to_have_text(
            re.compile(r"^\d+ (sec|min)\.? ago")
        )


async def test_an_alarm_that_is_raised_while_the_list_is_on_its_way_is_not_lost(
    browser: Browser, centre: FakeCentre
) -> None:
    async def answer_late(route: Route) -> None:
        answer = await route.fetch()
        centre.publish("alarm", alarm("late", "nomad-22", "storage-error"))
        await SystemClock().async_sleep(0.3)  # the event first, as a rule; the other order has to do as well
        await route.fulfill(response=answer)

    async with new_page(browser) as page:
        await open_view(page, centre, "fleet")
        await expect(page.locator("nav .count span").first).to_have_text("3")
        await page.route("**/v1/alarms?*", answer_late)
        await open_view(page, centre, "alarms")
        await expect(page.locator(".alarm", has_text="nomad-22")).to_have_count(1)
        await expect(page.locator("nav .count span").first).to_have_text("4")
        await page.evaluate("location.hash = '#/units/nomad-22'")
        await expect(page.locator("[aria-labelledby=alarms-title] .alarm")).to_have_count(1)


async def test_a_storm_of_alarms_does_not_grow_for_ever(browser: Browser, centre: FakeCentre) -> None:
    async with new_page(browser) as page:
        await open_view(page, centre, "alarms")
        for number in range(2000):
            raised = alarm(f"n-{number}", "nomad-03", severity="warning", raised_us=now_us())
            centre.publish("alarm", raised)
            centre.publish("alarm", raised.model_copy(update={"cleared_us": now_us()}))
        centre.publish("alarm", alarm("last", "nomad-22"))
        await expect(page.locator(".alarm", has_text="nomad-22")).to_have_count(1)
        await expect(page.locator(".alarm", has_text="nomad-12")).to_have_count(1)  # open before all of them
        assert await page.locator(".alarm").count() <= 1500
