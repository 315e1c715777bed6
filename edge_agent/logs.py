"""Logging of every process: one line an entry on standard error; the journal adds its own time stamps."""

import logging
import os


def set_up_logging(process: str, verbose: bool = False) -> None:
    """Configure the root logger of this process.

    Args:
        process: its name in every line, such as `record main`.
        verbose: also what only a maintainer wants to see.
    """
    stamp = "" if "JOURNAL_STREAM" in os.environ else "%(asctime)s "
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO,
        format=f"{stamp}%(levelname)s {process}: %(name)s: %(message)s",
        force=True,
    )
    logging.getLogger("libav").setLevel(logging.ERROR)
