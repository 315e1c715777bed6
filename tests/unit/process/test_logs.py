"""The log never holds up who logs."""

import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

from edge_agent.logs import LogPipe
from tests.support.polling import wait_until
from tests.support.processes import Processes


def logger_on(pipe: LogPipe) -> logging.Logger:
    pipe.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logger = logging.Logger("test")  # noqa: LOG001 -- apart from the tree of loggers, whose handlers are pytest's
    logger.addHandler(pipe)
    return logger


def test_lines_are_written_in_order_with_their_arguments_and_tracebacks(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    pipe = LogPipe(descriptor)
    logger = logger_on(pipe)
    logger.warning("%d of %s", 1, "main")
    try:
        int("why")
    except ValueError:
        logger.exception("failed")
    assert pipe.drain(10)
    os.close(descriptor)
    lines = (tmp_path / "log").read_text(encoding="utf-8").splitlines()
    assert lines[:2] == ["WARNING 1 of main", "ERROR failed"]
    assert lines[-1].startswith("ValueError: ")


def test_a_pipe_that_nobody_reads_costs_lines_and_no_time() -> None:
    reader, writer = os.pipe()
    pipe = LogPipe(writer, capacity=1000)  # more than the pipe holds, whoever of the two threads is faster
    logger = logger_on(pipe)
    done = threading.Event()

    def log_much() -> None:
        for number in range(5000):
            logger.warning("line %d %s", number, "x" * 200)
        done.set()

    threading.Thread(target=log_much, daemon=True).start()
    assert done.wait(30)
    assert not pipe.drain(0.05)

    with os.fdopen(reader) as reading:
        heard: list[str] = []
        threading.Thread(target=lambda: heard.extend(reading), daemon=True).start()
        wait_until(lambda: pipe.drain(1), what="the pipe is read again")
        logger.warning("the end")
        wait_until(lambda: any("the end" in line for line in heard), what="the last line")
        assert any("were left out" in line for line in heard)
        wait_until(lambda: pipe.drain(1), what="the writer is idle")
        os.close(writer)


TALKER = """
import logging
from edge_agent.logs import set_up_logging
set_up_logging("talker")
for number in range(5000):
    logging.getLogger("x").warning("line %d %s", number, "x" * 200)
"""


def test_a_process_whose_log_nobody_reads_ends_by_itself(processes: Processes) -> None:
    talker = processes.start([sys.executable, "-c", TALKER], stderr=subprocess.PIPE)
    assert talker.wait(60) == 0
