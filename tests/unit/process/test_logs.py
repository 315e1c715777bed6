"""The log never holds up who logs."""

import io
import logging
import os
import threading

from edge_agent.logs import LogPipe
from tests.support.polling import wait_until


def logger_on(pipe: LogPipe) -> logging.Logger:
    pipe.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logger = logging.Logger("test")  # noqa: LOG001 -- apart from the tree of loggers, whose handlers are pytest's
    logger.addHandler(pipe)
    return logger


def test_lines_are_written_in_order_with_their_arguments_and_tracebacks() -> None:
    stream = io.StringIO()
    pipe = LogPipe(stream)
    logger = logger_on(pipe)
    logger.warning("%d of %s", 1, "main")
    try:
        int("why")
    except ValueError:
        logger.exception("failed")
    assert pipe.drain(10)
    lines = stream.getvalue().splitlines()
    assert lines[:2] == ["WARNING 1 of main", "ERROR failed"]
    assert lines[-1].startswith("ValueError: ")


def test_a_pipe_that_nobody_reads_costs_lines_and_no_time() -> None:
    reader, writer = os.pipe()
    stream = os.fdopen(writer, "w", buffering=1)
    pipe = LogPipe(stream, capacity=1000)  # more than the pipe holds, whoever of the two threads is faster
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
        stream.close()
        wait_until(lambda: pipe.drain(1), what="the writer is idle")
