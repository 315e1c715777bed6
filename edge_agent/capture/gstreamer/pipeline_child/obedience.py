"""What the recorder asks for."""

import os
import threading
from typing import TextIO

from .pipeline import Pipeline


class Obedience:
    """Carries out what the recorder asks, in a thread of its own; ends the process when the recorder is gone."""

    def __init__(self, control: TextIO) -> None:
        self._control = control
        self.line: Pipeline | None = None
        """Once there is one."""

    def run(self) -> None:
        """Until the recorder is gone."""
        for text in self._control:
            word = text.strip()
            if word == "key" and self.line is not None:
                self.line.ask_key()
            elif word == "stop" and self.line is not None:
                self.line.hurry.set()
                threading.Thread(target=self.line.end, daemon=True).start()
            elif word == "stop":
                break
        os._exit(0)
