"""Carries out one order, and ends."""

import ctypes
import json
import os
import signal
import sys
import threading

from .bindings import RefusedError, load_gstreamer
from .feed import Feed
from .listener import Listener
from .obedience import Obedience
from .pipeline import Order, Pipeline
from .pump import Pump
from .records import END, EVENT, HELLO, Records

DRAIN_S = 2.0
PR_SET_PDEATHSIG = 1


def stop_pipeline(line: Pipeline) -> None:
    """Give the camera back, for `DRAIN_S` at most: some libraries never come back from it."""
    thread = threading.Thread(target=line.pipeline.set_state, args=(line.gst.State.NULL,), daemon=True)
    thread.start()
    thread.join(DRAIN_S)


def run(order: Order, obedience: Obedience, records: Records, pictures: "int | None") -> str:
    """Carry out one order; why it ended.

    Raises:
        RefusedError: it cannot be carried out.
    """
    gst, glib = load_gstreamer()
    records.tell(HELLO, gstreamer=gst.version_string(), python=".".join(map(str, sys.version_info[:3])))
    line = Pipeline(gst, glib, order)
    listener, pump = Listener(line, records), Pump(line, records)
    threading.Thread(target=listener.run, daemon=True).start()
    obedience.line = line
    is_live = line.start(order["settle_s"], order["is_free"])
    if is_live is not None:
        if pictures is not None:
            threading.Thread(target=Feed(line, pictures).run, daemon=True).start()
        threading.Thread(target=pump.run, daemon=True).start()
        line.over.wait()
    failed = listener.failed.wait(DRAIN_S if is_live is None else 0.1)
    stop_pipeline(line)
    return "failed" if failed or is_live is None else "ended"


def main() -> int:
    """Serve one recorder."""
    if len(sys.argv) == 3:  # an encoder may outlive the thread that started it, a camera's pipeline may not
        parent = os.getppid()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            return 0
    output, control = int(sys.argv[1]), open(int(sys.argv[2]), encoding="utf-8")  # noqa: PTH123, SIM115 -- as in Feed
    pictures = int(sys.argv[3]) if len(sys.argv) > 3 else None
    records = Records(output)
    order, obedience = json.loads(control.readline()), Obedience(control)
    threading.Thread(target=obedience.run, daemon=True).start()
    try:
        reason = run(order, obedience, records, pictures)
    except RefusedError as error:
        records.tell(EVENT, **error.fields)
        reason = "refused"
    records.tell(END, reason=reason)
    return 0


if __name__ == "__main__":
    code = main()
    os._exit(code)  # a thread inside a library would hold the end up
