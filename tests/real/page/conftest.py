"""One browser for the tests of a file, and a centre that never was for each test."""

from collections.abc import AsyncIterator

import pytest_asyncio
from playwright.async_api import Browser

from tests.support.browser import chromium
from tests.support.fake_centre import FakeCentre, fake_centre


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def centre() -> AsyncIterator[FakeCentre]:
    async with fake_centre() as serving:
        yield serving
