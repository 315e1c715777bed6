import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from csu import stored_clips, stored_commands, stored_units
from csu.commander import Commander, CommandOrder
from csu.errors import BrokerError, RequestRefusedError
from csu.feed import Feed
from csu.registry import Registry
from edge_agent.clock import FakeClock
from edge_agent.contract.jws import SigningKey, TrustedKeys
from tests.support.polling import until
from tests.unit.csu.replies import NOW_US, make_reply

CLIP = {"camera": "main", "from": "2026-03-29T00:00:00Z", "to": "2026-03-29T00:01:00Z"}


BEHIND = {"code": "clock-unknown", "message": "the unit's clock is behind"}


class Line:
    """Where published messages end; may be cut."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes, int]] = []
        self.cut = False

    async def publish(self, topic: str, payload: bytes, expiry_s: int) -> None:
        if self.cut:
            raise BrokerError("cut")
        self.sent.append((topic, payload, expiry_s))

    async def until_sent(self, count: int) -> None:
        await until(lambda: len(self.sent) >= count, what=f"copy {count}")


class Bench:
    """A commander on a clock that the test moves."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.clock = FakeClock(wall_us=NOW_US)
        self.key = SigningKey.generate()
        self.line = Line()
        self.commander = Commander(registry, self.key, "csu/v1", self.line.publish, Feed(), self.clock)

    async def clip(self, **more: object) -> str:
        fields: dict[str, Any] = {
            "unit_id": "nomad-07",
            "cmd": "clip.request",
            "params": CLIP,
            "operator": "a",
            "reference": "R",
            "purpose": "P",
        }
        return (await self.commander.issue(CommandOrder(**(fields | more)))).command_id

    async def pass_time(self, seconds: float) -> None:
        """Move the clock and let the commander look."""
        self.clock.advance(seconds)
        self.commander.wake()
        await asyncio.sleep(0.05)

    async def sent(self, command_id: str) -> int:
        return (await self.registry.run(stored_commands.load_command, command_id)).sent


@pytest.fixture
async def bench(registry: Registry) -> AsyncIterator[Bench]:
    bench = Bench(registry)
    task = asyncio.create_task(bench.commander.run())
    yield bench
    task.cancel()
    await asyncio.wait({task})


async def test_a_command_is_signed_and_published(bench: Bench) -> None:
    command_id = await bench.clip()
    await until(lambda: bench.line.sent, what="the command")
    topic, token, _ = bench.line.sent[0]
    assert topic == "csu/v1/nomad-07/down/command"
    claims = TrustedKeys.from_jwks(bench.key.public_jwk()).verify("command", token.decode())
    assert claims["jti"] == command_id
    assert claims["aud"] == "nomad-07"
    assert claims["params"]["to"] == "2026-03-29T00:01:00.000Z"
    assert claims["exp"] - claims["iat"] <= 31 * 24 * 3600


async def test_the_same_token_is_sent_until_a_reply(bench: Bench) -> None:
    await bench.clip()
    for count in range(1, 5):
        await bench.line.until_sent(count)
        await bench.pass_time(4000)
    assert len({token for _, token, _ in bench.line.sent}) == 1
    assert all(expiry_s <= 3601 for _, _, expiry_s in bench.line.sent)


async def test_a_final_reply_ends_the_sending(bench: Bench) -> None:
    command_id = await bench.clip()
    await until(lambda: bench.line.sent, what="the command")
    await bench.commander.on_reply(make_reply("done", command_id))
    before = len(bench.line.sent)
    await bench.pass_time(5 * 24 * 3600)
    assert len(bench.line.sent) == before


async def test_a_silent_unit_is_asked_again_after_it_accepted(bench: Bench) -> None:
    command_id = await bench.clip()
    await until(lambda: bench.line.sent, what="the command")
    await bench.commander.on_reply(make_reply("running", command_id))
    await bench.pass_time(31)
    await until(lambda: len(bench.line.sent) == 2, what="the same command again")


async def test_a_unit_that_comes_online_is_asked_at_once(bench: Bench) -> None:
    await bench.clip()
    await until(lambda: bench.line.sent, what="the command")
    await bench.commander.on_online("nomad-07")
    await until(lambda: len(bench.line.sent) == 2, what="the same command again")
    await bench.commander.on_online("nomad-08")
    await bench.pass_time(0)
    assert len(bench.line.sent) == 2


async def test_a_cut_line_loses_nothing(bench: Bench) -> None:
    bench.line.cut = True
    command_id = await bench.clip()
    await bench.pass_time(10)
    assert await bench.sent(command_id) == 0
    bench.line.cut = False
    await bench.pass_time(10)
    await until(lambda: bench.line.sent, what="the command")


async def test_an_unanswered_command_ends_with_exp(bench: Bench) -> None:
    command_id = await bench.clip(lifetime_s=60)
    await until(lambda: bench.line.sent, what="the command")
    await bench.pass_time(61)
    record = await bench.registry.run(stored_commands.load_command, command_id)
    assert record.state == "expired"
    assert record.next_send_us is None


@pytest.mark.parametrize("ahead_s", [3600, 2 * 365 * 86_400])
async def test_what_was_signed_in_the_future_ends_when_the_clock_is_mended(bench: Bench, ahead_s: float) -> None:
    bench.clock.step_wall(ahead_s)
    refused, accepted, unheard = await bench.clip(), await bench.clip(), await bench.clip()
    await until(lambda: len(bench.line.sent) >= 3, what="the commands")
    await bench.commander.on_reply(make_reply("rejected", refused, error=BEHIND))
    await bench.commander.on_reply(make_reply("accepted", accepted))
    sent = await bench.sent(accepted)
    bench.clock.step_wall(-ahead_s)
    await bench.pass_time(1)
    for _ in range(100):
        if await bench.sent(accepted) > sent:
            break
        await bench.pass_time(0)
    names = (refused, accepted, unheard)
    states = [await bench.registry.run(stored_commands.load_command, name) for name in names]
    assert [(record.state, record.next_send_us is None) for record in states] == [
        ("expired", True),
        ("accepted", False),
        ("waiting", False),
    ]
    await bench.commander.on_reply(make_reply("rejected", unheard, error=BEHIND))
    assert (await bench.registry.run(stored_commands.load_command, unheard)).state == "expired"


@pytest.mark.parametrize("behind_s", [3600, 2 * 365 * 86_400])
async def test_a_clock_that_falls_back_for_a_while_ends_nothing(bench: Bench, behind_s: float) -> None:
    command_id = await bench.clip()
    await until(lambda: bench.line.sent, what="the command")
    for step_s in (-behind_s, behind_s):
        bench.clock.step_wall(step_s)
        await bench.pass_time(1)
    await until(lambda: len(bench.line.sent) >= 2, what="the same command again")
    assert (await bench.registry.run(stored_commands.load_command, command_id)).state == "waiting"


@pytest.mark.parametrize("state", ["waiting", "running"])
async def test_what_a_clock_ended_before_its_time_goes_on(bench: Bench, state: str) -> None:
    command_id = await bench.clip()
    await until(lambda: bench.line.sent, what="the command")
    if state == "running":
        await bench.commander.on_reply(make_reply("running", command_id))
    bench.clock.step_wall(2 * 365 * 86_400)
    await bench.pass_time(1)
    ended = await bench.registry.run(stored_commands.load_command, command_id)
    assert (ended.state, ended.next_send_us) == ("expired" if state == "waiting" else state, None)
    bench.clock.step_wall(-2 * 365 * 86_400)
    await bench.pass_time(1)
    await until(lambda: len(bench.line.sent) == 2, what="the same command again")
    assert (await bench.registry.run(stored_commands.load_command, command_id)).state == state
    await bench.commander.on_reply(make_reply("done", command_id))
    bench.clock.step_wall(-3600)
    await bench.pass_time(1)
    assert len(bench.line.sent) == 2


async def test_a_clock_that_is_mended_while_the_service_is_down_delays_nothing(registry: Registry) -> None:
    bench = Bench(registry)
    await bench.clip()
    for step_s in (20 * 86_400, -20 * 86_400):
        bench.clock.step_wall(step_s)
        sent = len(bench.line.sent)
        commander = Commander(registry, bench.key, "csu/v1", bench.line.publish, Feed(), bench.clock)
        task = asyncio.create_task(commander.run())
        await bench.line.until_sent(sent + 1)
        task.cancel()
        await asyncio.wait({task})
        assert len(bench.line.sent) == sent + 1


async def test_ephemeral_commands_live_for_seconds(bench: Bench) -> None:
    command_id = await bench.clip(cmd="unit.check", params={}, lifetime_s=9999)
    record = await bench.registry.run(stored_commands.load_command, command_id)
    assert record.expires_us - NOW_US == 30_000_000


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"cmd": "self.destruct"}, "unknown-command"),
        ({"reference": None}, "parameters-invalid"),
        ({"purpose": ""}, "parameters-invalid"),
        ({"role": "technician"}, "not-authorised"),
        ({"params": {}}, "parameters-invalid"),
        ({"params": CLIP | {"camera": "../x"}}, "parameters-invalid"),
        ({"params": CLIP | {"from": "yesterday"}}, "parameters-invalid"),
        ({"operator": "x" * 300}, "parameters-invalid"),
        ({"unit_id": "NOMAD"}, "parameters-invalid"),
    ],
)
async def test_bad_orders_are_refused_and_not_stored(bench: Bench, more: dict[str, Any], code: str) -> None:
    with pytest.raises(RequestRefusedError) as caught:
        await bench.clip(**more)
    assert caught.value.code == code
    assert await bench.registry.run(stored_commands.load_commands, None, 10) == []


async def deliver(bench: Bench, clip_id: str) -> None:
    await bench.registry.run(stored_clips.add_clip, "nomad-07", clip_id, "/clips/a", NOW_US)
    await bench.registry.run(stored_clips.save_verdict, "nomad-07", clip_id, None, {}, "r.e.c", NOW_US)
    bench.commander.wake()


def receipts(bench: Bench) -> int:
    return sum(topic.endswith("/receipt") for topic, _, _ in bench.line.sent)


async def test_a_receipt_is_sent_until_the_unit_has_ended(bench: Bench) -> None:
    clip_id = await bench.clip()
    await bench.commander.on_reply(make_reply("running", clip_id))
    await deliver(bench, clip_id)
    await until(lambda: receipts(bench) == 1, what="the receipt")
    await bench.pass_time(5)
    await until(lambda: receipts(bench) == 2, what="the receipt again")
    await bench.commander.on_online("nomad-07")
    await until(lambda: receipts(bench) == 3, what="the receipt for a unit that came back")
    await bench.commander.on_reply(make_reply("done", clip_id))
    await bench.pass_time(24 * 3600)
    assert receipts(bench) == 3
    assert await bench.registry.run(stored_clips.next_receipt_us) is None


async def test_a_unit_that_has_ended_already_still_gets_one_receipt(bench: Bench) -> None:
    clip_id = await bench.clip()
    await bench.commander.on_reply(make_reply("failed", clip_id))
    await deliver(bench, clip_id)
    await until(lambda: receipts(bench) == 1, what="the receipt")
    await bench.pass_time(24 * 3600)
    assert receipts(bench) == 1


async def test_receipts_of_clips_that_nobody_asked_for_here_end(bench: Bench) -> None:
    await deliver(bench, "0197a1b2-0000-7000-8000-00000000000f")
    for _ in range(12):
        await bench.pass_time(24 * 3600)
    assert receipts(bench) == 5
    expiries_s = [expiry_s for _, _, expiry_s in bench.line.sent]
    assert max(expiries_s[:-1]) < 120
    assert expiries_s[-1] == 7 * 24 * 3600  # no other follows: it waits for a unit that is away


async def test_a_receipt_waits_while_its_unit_is_shut_out(bench: Bench) -> None:
    clip_id = await bench.clip()
    await bench.commander.on_reply(make_reply("running", clip_id))
    await deliver(bench, clip_id)
    await until(lambda: receipts(bench) == 1, what="the receipt, which is lost")
    await bench.registry.run(stored_units.remove_unit, "nomad-07")
    await deliver(bench, "0197a1b2-0000-7000-8000-00000000000f")
    for _ in range(3):
        await bench.pass_time(24 * 3600)
    assert receipts(bench) == 1
    await bench.registry.run(stored_units.add_unit, "nomad-07", NOW_US)
    await bench.commander.on_online("nomad-07")
    await until(lambda: receipts(bench) == 3, what="both receipts")


async def test_a_unit_known_to_be_online_is_asked_more_often(bench: Bench) -> None:
    await bench.registry.run(stored_units.save_state, "nomad-07", "status", {"state": "online"}, NOW_US)
    await bench.clip()
    for count in range(1, 12):
        await bench.line.until_sent(count)
        await bench.pass_time(61)
