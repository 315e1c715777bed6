"""The supervisor's side of `run/processes.json`: counts what ends, and writes it without ever waiting for a disk."""

import logging
import threading
from pathlib import Path

from edge_agent.clock import Clock
from edge_agent.durable import make_directory, write_file
from edge_agent.health.processes import MAX_ENDS, ProcessBook, ProcessRecord, read_process_book

logger = logging.getLogger(__name__)

_MAX_REASON = 200


class ProcessDiary:
    """Notes starts and ends of this boot's processes; goes on where an earlier supervisor of the boot ended.

    Args:
        path: of the file.
        boot_id: an older boot's counts are of no interest.
        names: of the processes.
        clock: dates ends.
    """

    def __init__(self, path: Path, boot_id: str, names: list[str], clock: Clock) -> None:
        self._path = path
        self._clock = clock
        before = read_process_book(path, boot_id)
        known = {} if before is None else {record.name: record for record in before.processes}
        self._records = {name: known.get(name) or ProcessRecord(name=name) for name in names}
        self._boot_id = boot_id
        self._supervisor_starts = 1 + (0 if before is None else before.supervisor_starts)
        self._changed = threading.Condition()  # protects what follows
        self._waiting: bytes | None = None
        self._is_failing = False
        threading.Thread(target=self._write_for_ever, name="process diary", daemon=True).start()
        self._publish()

    def ended(self, name: str, reason: str) -> None:
        """A process ended that is about to be started again; never waits."""
        record = self._records[name]
        ends_us = (*record.ends_us, self._clock.monotonic_us())[-MAX_ENDS:]
        self._records[name] = ProcessRecord(
            name=name, restarts=record.restarts + 1, last_reason=reason[:_MAX_REASON], ends_us=ends_us
        )
        self._publish()

    def _publish(self) -> None:
        book = ProcessBook(
            boot_id=self._boot_id,
            supervisor_starts=self._supervisor_starts,
            processes=tuple(self._records.values()),
        )
        with self._changed:
            self._waiting = book.to_json()
            self._changed.notify()

    def _write_for_ever(self) -> None:
        while True:
            with self._changed:
                while self._waiting is None:
                    self._changed.wait()
                content, self._waiting = self._waiting, None
            self._write(content)

    def _write(self, content: bytes) -> None:
        try:
            make_directory(self._path.parent)
            write_file(self._path, content)
        except OSError as error:
            if not self._is_failing:
                logger.warning("restarts are not written down: %s", error)
            self._is_failing = True
        else:
            self._is_failing = False
