"""The fullest outbox on a line of 256 kbit/s, in simulated time: `python -m benchmarks.offline_fullest`.

As many events as may wait, and as many bytes of history, behind a status and a command's reply in their midst.
"""

import asyncio
import sqlite3
import sys
import tempfile
from pathlib import Path

from edge_agent.contract.event_names import EventName
from edge_agent.uplink import event_bound, resolution
from edge_agent.uplink.database import LinkDatabase
from edge_agent.uplink.stamps import SequenceCounter
from tests.support.offline_unit import EventClock, Unit, come_back, position_of

BOUND_S = 600.0


async def measure(directory: Path, counter: SequenceCounter) -> tuple[float, int, float]:
    """Seconds until all has arrived, its bytes, and seconds that a reply in the midst of it took."""
    clock = EventClock()
    database = await LinkDatabase.open(directory / "link.db", 1)
    unit = Unit(database, clock, counter)
    await unit.events.occurred(EventName.COMMAND_WAITING, {"detail": "x" * 150})
    await unit.monitor.check()
    unit.history.note("position", position_of(clock, 0).to_object())
    await unit.history.keep()
    await database.write(fill)
    returned, answered_s = await come_back(unit, ask_after_s=60.0)
    await database.close()
    return max(at_s for at_s, *_ in returned.arrivals), sum(size for *_, size in returned.arrivals), answered_s


def fill(connection: sqlite3.Connection) -> None:
    """Copy what there is of each until the bounds are reached."""
    connection.execute(
        "INSERT INTO events (body) WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
        "SELECT body FROM n, (SELECT body FROM events LIMIT 1)",
        (event_bound.MAX_WAITING,),
    )
    for kind, max_bytes in resolution.MAX_BYTES.items():
        (size_bytes,) = connection.execute("SELECT length(body) FROM history WHERE kind = ?", (kind,)).fetchone()
        connection.execute(
            "INSERT INTO history (kind, boot_id, monotonic_us, at_us, clock_source, is_change, body) "
            "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
            "SELECT kind, boot_id, monotonic_us, at_us, clock_source, is_change, body FROM n, "
            "(SELECT * FROM history WHERE kind = ? LIMIT 1)",
            (max_bytes // size_bytes, kind),
        )


def main() -> int:
    """Run it; 1 when it takes longer than ten minutes."""
    with tempfile.TemporaryDirectory() as directory:
        counter = SequenceCounter(Path(directory) / "run" / "link.seq", "a" * 32)
        took_s, size_bytes, answered_s = asyncio.run(measure(Path(directory), counter))
    print(f"{size_bytes} bytes in {took_s:.0f} s; a reply in their midst after {answered_s:.2f} s")
    return 1 if took_s > BOUND_S else 0


if __name__ == "__main__":
    sys.exit(main())
