"""The link is killed around every durable step of what waits for the centre: nothing is lost, nothing comes twice."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from edge_agent.paths import link_directory
from tests.faults.proxy import Proxy
from tests.support.link import LinkRig, link_rig
from tests.support.polling import wait_until
from tests.support.processes import Processes

pytestmark = [pytest.mark.faults, pytest.mark.slow]

STEPS = ["events:stored", "events:settled", "history:kept", "history:sealed", "history_batches:settled"]
TROUBLE: list[tuple[str, dict[str, object]]] = [
    ("storage-error", {"storage_ok": False}),
    ("picture-below-minimum", {"warnings": ("resolution-below-legal-minimum",)}),
]


@pytest.fixture
def way(tmp_path: Path, processes: Processes) -> Iterator[tuple[LinkRig, Proxy]]:
    """A link whose broker is behind a proxy."""
    with link_rig(tmp_path, processes) as rig, Proxy("127.0.0.1", urlsplit(rig.broker.url).port or 0) as proxy:
        lead_through(rig, proxy)
        yield rig, proxy


def lead_through(rig: LinkRig, proxy: Proxy) -> None:
    text = rig.settings_file.read_text(encoding="utf-8")
    rig.settings_file.write_text(text.replace(rig.broker.url, f"mqtt://127.0.0.1:{proxy.port}"), encoding="utf-8")


def ask(rig: LinkRig, sql: str) -> list[tuple[Any, ...]]:
    """What the link's database answers; nothing before it is there."""
    path = link_directory(rig.data_dir) / "link.db"
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            return connection.execute(sql).fetchall()
    except sqlite3.OperationalError:
        return []


def until_true(rig: LinkRig, probe: Callable[[], bool], what: str) -> None:
    """Wait for an outcome; a link that has killed itself at its step is started again, sound."""

    def look() -> bool:
        assert rig.process is not None
        if rig.process.poll() is not None:
            assert rig.process.returncode == -9
            rig.start(hurry=True)
        return probe()

    wait_until(look, what=what)


def is_raised(rig: LinkRig, name: str) -> bool:
    return (name,) in ask(rig, "SELECT name FROM alarms")


def is_empty(rig: LinkRig) -> bool:
    tables = ("events", "history", "history_batches")
    return all(ask(rig, f"SELECT count(*) FROM {table}") == [(0,)] for table in tables)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_what_was_kept_arrives_once_and_in_order(way: tuple[LinkRig, Proxy], step: str, moment: str) -> None:
    rig, proxy = way
    proxy.refuse = True
    begin = rig.start(f"{step}:{moment}", hurry=True)
    until_true(rig, lambda: bool(ask(rig, "SELECT 1 FROM history")) or begin.poll() is not None, "a first sample")
    for name, changes in TROUBLE:
        for attribute, value in changes.items():
            setattr(rig.ring, attribute, value)
        until_true(rig, lambda: is_raised(rig, name), name)  # noqa: B023 -- called before the next one
    until_true(rig, lambda: bool(ask(rig, "SELECT 1 FROM history")), "a sample")
    proxy.refuse = False
    until_true(rig, lambda: is_empty(rig), "an empty outbox")
    until_true(rig, lambda: begin.poll() is not None, "the death at the step")
    until_true(rig, lambda: is_empty(rig), "an empty outbox again")

    events = list({body["event_id"]: body for body in rig.operator.all("event")}.values())
    assert [(body["name"], body["state"]) for body in events] == [(name, "raised") for name, _ in TROUBLE]
    assert ask(rig, "SELECT seq FROM sqlite_sequence WHERE name = 'events'") == [(len(events),)]
    batches = {body["history_id"]: body for body in rig.operator.all("history")}
    samples = [sample for body in batches.values() for sample in body["samples"]]
    assert sum(body["left_out"] for body in batches.values()) == 0
    assert ask(rig, "SELECT seq FROM sqlite_sequence WHERE name = 'history'") == [(len(samples),)]
    instants = [sample["monotonic_us"] for sample in samples]
    assert instants == sorted(set(instants))
    assert "critical" in {sample["storage"]["state"] for sample in samples}
