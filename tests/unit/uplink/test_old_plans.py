"""Plans that nobody stands behind are released after a day, and no others."""

import pytest

from edge_agent.clock import FakeClock
from edge_agent.contract.clip import Interval
from edge_agent.contract.commands import CommandClaims
from edge_agent.contract.ids import make_uuid7
from edge_agent.contract.messages import CameraCoverage
from edge_agent.contract.ring_protocol import CoveragePage, PlanRequest, PlanResult, RecorderState
from edge_agent.errors import RingUnavailableError
from edge_agent.uplink.ledger import Ledger, NewCommand
from edge_agent.uplink.old_plans import KEPT_S, made_us, release_old_plans
from tests.support.operator import clip_params, make_claims


class Ring:
    """Has plans and releases them; the rest is not asked for."""

    def __init__(self, *clip_ids: str, absent: bool = False) -> None:
        self.clip_ids = list(clip_ids)
        self._absent = absent

    async def plans(self) -> list[str]:
        if self._absent:
            raise RingUnavailableError("stopped")
        return list(self.clip_ids)

    async def release(self, clip_id: str) -> bool:
        self.clip_ids.remove(clip_id)
        return True

    async def state(self) -> RecorderState:
        raise AssertionError("not asked in these tests")

    async def plan(self, request: PlanRequest) -> PlanResult:
        raise AssertionError("not asked in these tests")

    async def coverage(self, max_intervals: int = 60) -> CameraCoverage:
        raise AssertionError("not asked in these tests")

    async def coverage_query(
        self, interval: Interval, cursor: str | None = None, max_intervals: int = 80
    ) -> CoveragePage:
        raise AssertionError("not asked in these tests")


async def test_only_old_plans_of_nobody_go(clock: FakeClock, ledger: Ledger) -> None:
    orphan, known = make_uuid7(clock.wall_us()), make_uuid7(clock.wall_us())
    claims = CommandClaims.from_object(make_claims("nomad-07", "clip.request", clip_params(), jti=known))
    await ledger.store(NewCommand(claims, "0" * 64))
    ring = Ring(orphan, known)
    await release_old_plans({"gone": Ring(absent=True), "main": ring}, ledger, clock)
    assert ring.clip_ids == [orphan, known]
    clock.advance(KEPT_S + 1)
    young = make_uuid7(clock.wall_us())
    ring.clip_ids.append(young)
    await release_old_plans({"gone": Ring(absent=True), "main": ring}, ledger, clock)
    assert ring.clip_ids == [known, young]


async def test_an_id_that_tells_no_time_is_a_commands_or_nobodys(clock: FakeClock, ledger: Ledger) -> None:
    known, strange = "0197a1b2-0000-4000-8000-000000000001", "0197a1b2-0000-4000-8000-000000000002"
    future = make_uuid7(clock.wall_us() + (KEPT_S + 1) * 1_000_000)
    claims = CommandClaims.from_object(make_claims("nomad-07", "clip.request", clip_params(), jti=known))
    await ledger.store(NewCommand(claims, "0" * 64))
    ring = Ring(known, strange, future)
    await release_old_plans({"main": ring}, ledger, clock)
    assert ring.clip_ids == [known]


@pytest.mark.parametrize("wall_us", [0, 1_790_000_000_123_000])
def test_an_id_tells_when_it_was_made(wall_us: int) -> None:
    assert made_us(make_uuid7(wall_us)) == wall_us
