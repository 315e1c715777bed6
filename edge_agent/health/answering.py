"""Asks what may never answer, such as a dead disk: in a thread that is left behind, one at a time."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class Answering(Generic[Answer]):
    """Asks one question again and again.

    Args:
        question: may block for ever; what it raises of OSError counts as an answer that says nothing.
        limit_s: how long is waited for an answer.
        nothing: the answer of a question that failed.
    """

    def __init__(self, question: Callable[[], Answer], limit_s: float, nothing: Answer) -> None:
        self._question = question
        self._limit_s = limit_s
        self._nothing = nothing
        self._thread: threading.Thread | None = None
        self._answer: Answer | None = None

    def ask(self) -> Answer | None:
        """The answer; None when there is none in time, or an earlier question is still waiting for its own."""
        if self._thread is None or not self._thread.is_alive():
            self._answer = None
            self._thread = threading.Thread(target=self._run, name="probe", daemon=True)
            self._thread.start()
        self._thread.join(self._limit_s)
        return None if self._thread.is_alive() else self._answer

    def _run(self) -> None:
        try:
            self._answer = self._question()
        except OSError:
            self._answer = self._nothing
