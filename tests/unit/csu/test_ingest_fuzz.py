"""No request brings the ingest down."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from csu.ingest import PREFIX
from tests.support.tus_requests import RawUnit
from tests.support.uploads import UNIT_ID, running_ingest, trusted
from tests.unit.csu.ingest_parts import KEY, LIMITS

ANY_TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=80)
NAMES = ["Upload_Length", "Upload_Offset", "Upload_Metadata", "Content_Type", "Tus_Resumable", "Authorization"]
FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FUZZ
@given(
    method=st.sampled_from(["POST", "PATCH", "HEAD", "DELETE", "OPTIONS", "GET", "PUT"]),
    headers=st.dictionaries(st.sampled_from([*NAMES, "X_HTTP_Method_Override", "Expect"]), ANY_TEXT, max_size=4),
    path=st.sampled_from(
        [PREFIX, "UPLOAD", PREFIX + "x", PREFIX + "../x", PREFIX + "%2e%2e", "/", PREFIX + "f" * 32]
    ),
    body=st.binary(max_size=20),
)
def test_no_request_is_answered_with_a_5xx(
    ready_ingest: "FuzzedIngest", method: str, headers: dict[str, str], path: str, body: bytes
) -> None:
    assert ready_ingest.ask(method, headers, path, body) < 500


class FuzzedIngest:
    """An ingest and a session that live over all examples of a fuzz test."""

    def __init__(self, runner: asyncio.Runner, unit: RawUnit, path: str) -> None:
        self._runner = runner
        self._unit = unit
        self._path = path

    def ask(self, method: str, headers: dict[str, str], path: str, body: bytes) -> int:
        return self._runner.run(self._ask(method, headers, path, body))

    async def _ask(self, method: str, headers: dict[str, str], path: str, body: bytes) -> int:
        path = self._path if path == "UPLOAD" else path
        try:
            async with asyncio.timeout(20):
                return (await self._unit.send(method, path, body or None, **headers)).status
        except (aiohttp.ClientError, ValueError, TimeoutError):
            return 0  # not sent, or not answered: an odd `Expect` keeps the client itself from sending


@pytest.fixture
def ready_ingest(tmp_path: Path) -> "Iterator[FuzzedIngest]":
    with asyncio.Runner() as runner:
        context = running_ingest(tmp_path / "csu", {UNIT_ID: trusted(KEY)}, LIMITS)
        centre = runner.run(context.__aenter__())
        session = runner.run(_session())
        unit = RawUnit(session, KEY, centre.url)
        path = runner.run(unit.create(10)).headers["Location"]
        yield FuzzedIngest(runner, unit, path)
        runner.run(session.close())
        runner.run(context.__aexit__(None, None, None))


async def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession()
