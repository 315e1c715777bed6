"""The request form: local time of the centre, what it costs, errors beside fields; then progress, cancel, verdict."""

import pytest
from playwright.async_api import Browser, Page, expect

from edge_agent.contract.times import format_utc
from tests.support import fake_fleet
from tests.support.browser import new_page
from tests.support.fake_centre import FakeCentre
from tests.support.page_views import ADDRESSES, COMMAND, REQUEST, open_view
from tests.support.polling import until

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


async def open_form(page: Page, centre: FakeCentre) -> None:
    await page.goto(centre.url + REQUEST)
    await page.wait_for_selector("#from")
    await page.wait_for_selector("html[data-connection=live]", state="attached")


async def fill_words(page: Page) -> None:
    await page.fill("#reference", "PV 2026/118")
    await page.fill("#purpose", "requisition")
    await page.fill("#operator", "A. Martin")


async def test_what_is_asked_is_sent_in_utc(browser: Browser, centre: FakeCentre) -> None:
    async with new_page(browser) as page:
        await open_form(page, centre)
        await page.fill("#from", "2026-07-14T23:59:30")
        await page.fill("#to", "2026-07-15T00:00:30")
        await expect(page.locator(".reads").first).to_contain_text("14 July 2026")
        await expect(page.locator(".reads").first).to_contain_text("UTC+02:00")
        await fill_words(page)
        await page.click("text=Send the request")
        await page.wait_for_selector(".steps")
    (sent,) = centre.posted
    assert sent["params"]["from"] == "2026-07-14T21:59:30.000Z"
    assert sent["params"]["to"] == "2026-07-14T22:00:30.000Z"
    assert (sent["cmd"], sent["reference"], sent["operator"]) == ("clip.request", "PV 2026/118", "A. Martin")


async def test_an_hour_that_comes_twice_is_asked_back(browser: Browser, centre: FakeCentre) -> None:
    async with new_page(browser) as page:
        await open_form(page, centre)
        await page.fill("#from", "2025-10-26T02:30:00")
        await page.fill("#to", "2025-10-26T02:45:00")
        await fill_words(page)
        await page.click("text=Send the request")
        await expect(page.locator("#from-error")).to_contain_text("came twice")
        await expect(page.locator("#from")).to_be_focused()
        await page.check("input[name=from-which] >> nth=0")
        await page.check("input[name=to-which] >> nth=1")
        await expect(page.locator(".error")).to_have_count(0)
        await page.click("text=Send the request")
        await page.wait_for_selector(".steps")
    (sent,) = centre.posted
    assert sent["params"]["from"] == "2025-10-26T00:30:00.000Z"
    assert sent["params"]["to"] == "2025-10-26T01:45:00.000Z"


async def test_an_hour_that_does_not_come_is_named(browser: Browser, centre: FakeCentre) -> None:
    async with new_page(browser, language="fr-FR") as page:
        await open_form(page, centre)
        await page.fill("#from", "2026-03-29T02:30:00")
        await page.press("#from", "Tab")
        await page.focus("#reference")
        await expect(page.locator("#from-error")).to_contain_text("de 01:59:59 à 03:00:00")


WRONG = [
    ("2026-11-22T10:00:00", "2026-11-22T10:00:00", "to", "after the beginning"),
    ("2026-11-20T10:00:00", "2026-11-22T10:00:00", "to", "24 hours at most"),
    ("2099-11-22T10:00:00", "2099-11-22T13:30:00", "to", "60 seconds ahead"),
    ("", "2026-11-22T10:00:00", "from", "Give date and time"),
]


@pytest.mark.parametrize(("start", "end", "field", "words"), WRONG)
async def test_a_wrong_interval_is_told_beside_its_field(
    browser: Browser, centre: FakeCentre, start: str, end: str, field: str, words: str
) -> None:
    async with new_page(browser) as page:
        await open_form(page, centre)
        await page.fill("#from", start)
        await page.fill("#to", end)
        await fill_words(page)
        await page.click("text=Send the request")
        await expect(page.locator(f"#{field}-error")).to_contain_text(words)
        assert await page.get_attribute(f"#{field}", "aria-invalid") == "true"
        assert f"{field}-error" in (await page.get_attribute(f"#{field}", "aria-describedby") or "")
    assert centre.posted == []


async def test_what_the_service_refuses_stands_beside_its_field(browser: Browser, centre: FakeCentre) -> None:
    centre.refusals["commands"] = (400, "parameters-invalid", "reference: expected that of the requisition")
    async with new_page(browser) as page:
        await open_view(page, centre, "request")
        await fill_words(page)
        await page.click("text=Send the request")
        await expect(page.locator("#reference-error")).to_contain_text("expected that of the requisition")
        await expect(page.locator("#reference")).to_be_focused()
        centre.refusals["commands"] = (503, "unavailable", "the broker does not answer")
        await page.fill("#reference", "PV 2026/119")
        await page.click("text=Send the request")
        await expect(page.locator("form .note")).to_contain_text("the broker does not answer")


async def test_what_it_costs_is_shown_before_it_is_sent(browser: Browser, centre: FakeCentre) -> None:
    async with new_page(browser) as page:
        await open_view(page, centre, "request")
        costs = page.locator(".estimate")
        for words in ("148 MB", "9m 52s", "No risk", "12s", "the recorder was restarted", "20 min ago"):
            await expect(costs).to_contain_text(words)


async def test_on_a_phone_the_costs_come_before_the_button(browser: Browser, centre: FakeCentre) -> None:
    async with new_page(browser, width=360, height=800) as page:
        await open_view(page, centre, "request")
        costs = await page.locator(".estimates").bounding_box()
        button = await page.locator("text=Send the request").bounding_box()
        assert costs is not None
        assert button is not None
        assert costs["y"] + costs["height"] < button["y"]


async def test_what_is_not_known_is_said_to_be_unknown(browser: Browser, centre: FakeCentre) -> None:
    centre.estimate = fake_fleet.estimate(
        expected_s=None, rate_kbps=None, rate_basis="unknown", overwrite_us=None, overwrite_risk="unknown"
    )
    async with new_page(browser) as page:
        await open_view(page, centre, "request")
        await expect(page.locator(".estimate")).to_contain_text("has not been measured yet")
        await expect(page.locator(".estimate .badge")).to_have_text("Not known")


async def test_risk_and_problem_are_told(browser: Browser, centre: FakeCentre) -> None:
    centre.estimate = fake_fleet.estimate(overwrite_risk="before-end", problem="interval-empty")
    async with new_page(browser, language="fr-FR") as page:
        await open_view(page, centre, "request")
        await expect(page.locator(".estimate")).to_contain_text("Avant la fin du transfert")
        await expect(page.locator(".estimate .note")).to_contain_text("Rien n’a été enregistré")


async def test_progress_is_live_until_the_clip_can_be_watched(browser: Browser, centre: FakeCentre) -> None:
    async with new_page(browser) as page:
        await open_view(page, centre, "command")
        await expect(page.locator(".progress")).to_contain_text("61 MB of 148 MB")
        progress = {"sent_bytes": 120_000_000, "total_bytes": 148_000_000, "expected_end": in_minutes(2)}
        centre.change_command(fake_fleet.command("running", reply={"state": "running", "progress": progress}))
        await expect(page.locator(".progress")).to_contain_text("81%")
        centre.publish(
            "clip", fake_fleet.clip_record("pending").model_copy(update={"clip_id": fake_fleet.COMMAND_ID})
        )
        await expect(page.locator("text=Watch the clip")).to_be_visible()
        await expect(page.locator("main")).to_contain_text("Being verified")
        centre.change_command(fake_fleet.command("done", reply={"state": "done"}))
        await expect(page.locator(".command .badge").first).to_have_text("Done")
        await expect(page.locator("text=Cancel the request")).to_have_count(0)


def in_minutes(count: int) -> str:
    return format_utc(fake_fleet.now_us() + count * fake_fleet.MINUTE_US)


async def test_a_request_is_cancelled_after_a_question(browser: Browser, centre: FakeCentre) -> None:
    async with new_page(browser) as page:
        await open_view(page, centre, "command")
        await page.click("text=Cancel the request")
        await page.fill("#operator-asked", "A. Martin")
        await page.click("dialog button:has-text('Continue')")
        await page.click("dialog button.button-main")
        await expect(page.locator("text=Cancelling")).to_be_visible()
        await until(lambda: centre.posted, what="the cancellation")
        centre.change_command(fake_fleet.command("cancelled", reply={"state": "cancelled"}))
        await expect(page.locator(".command .badge").first).to_have_text("Cancelled")
    assert [(sent["cmd"], sent["params"]) for sent in centre.posted] == [
        ("clip.cancel", {"clip_id": fake_fleet.COMMAND_ID})
    ]


async def test_a_refusal_of_the_unit_is_told_in_words(browser: Browser, centre: FakeCentre) -> None:
    error = {"code": "interval-overwritten", "message": "oldest footage is of yesterday"}
    centre.commands[fake_fleet.COMMAND_ID] = fake_fleet.command(
        "rejected", reply={"state": "rejected", "error": error}
    )
    async with new_page(browser, language="fr-FR") as page:
        await page.goto(centre.url + COMMAND)
        await expect(page.locator("main")).to_contain_text("Tout est plus ancien que ce que l’unité conserve.")
        await expect(page.locator("main")).to_contain_text("oldest footage is of yesterday")
        await page.click("text=Redemander")
        await expect(page.locator("#from")).not_to_have_value("")


async def test_an_alarm_is_acknowledged_with_a_name_and_a_note(browser: Browser, centre: FakeCentre) -> None:
    async with new_page(browser) as page:
        await page.goto(centre.url + ADDRESSES["alarms"])
        await expect(page.locator("nav .count")).to_contain_text("3")
        await page.click(".alarm:has-text('nomad-07') button")
        await page.fill("#ack-operator", "A. Martin")
        await page.fill("#ack-note", "technician called")
        await page.click("dialog button.button-main")
        await expect(page.locator("nav .count")).to_contain_text("2")
        await page.click(".chip:has-text('Acknowledged')")
        await expect(page.locator(".alarm:has-text('nomad-07')")).to_contain_text("technician called")
    assert centre.posted == [{"operator": "A. Martin", "note": "technician called"}]


async def test_an_older_day_is_asked_of_the_unit_page_by_page(browser: Browser, centre: FakeCentre) -> None:
    async with new_page(browser) as page:
        await open_view(page, centre, "unit")
        await page.click(".day:has-text('50%')")
        await page.click(".chosen-day button:has-text('Ask the unit')")
        await page.fill("#operator-asked", "A. Martin")
        await page.click("dialog button:has-text('Continue')")
        await expect(page.locator(".chosen-day")).to_contain_text("Waiting for the unit")
        await until(lambda: centre.posted, what="the question")
        start = centre.posted[0]["params"]["from"]
        first = {"from": start, "to": start.replace("T00", "T06"), "held": True}
        gap = {"from": start.replace("T00", "T06"), "to": start.replace("T00", "T12"), "held": False, "cause": "boot"}
        answer(centre, {"camera": "main", "intervals": [first], "cursor": "6"})
        await expect(page.locator(".chosen-day [data-stretch]")).to_have_count(1)
        await until(lambda: len(centre.posted) > 1, what="the next question")
        assert centre.posted[1]["params"]["cursor"] == "6"
        answer(centre, {"camera": "main", "intervals": [gap]})
        await expect(page.locator(".chosen-day [data-stretch].bar-gap")).to_have_count(1)
        await page.focus(".chosen-day [data-stretch]")
        await page.keyboard.press("ArrowRight")
        await expect(page.locator(".chosen-day .bar-words")).to_contain_text("missing – the unit was off")
        await page.click(".chosen-day summary")
        await expect(page.locator(".chosen-day table")).to_contain_text("the unit was off")


def answer(centre: FakeCentre, result: dict[str, object]) -> None:
    """The unit's answer to the command that was given last."""
    *_, given = centre.commands.values()
    reply = {"state": "done", "result": result}
    centre.change_command(given.model_copy(update={"state": "done", "reply": reply, "version": given.version + 1}))
