"""All benchmarks: one line each."""

from collections.abc import Callable, Iterator

from benchmarks import (
    clip,
    command,
    frame_hook,
    gstreamer,
    idle_traffic,
    memory,
    narrow,
    page,
    recording,
    start,
    stream,
    upload,
    v4l2,
    watching,
    writes,
)
from benchmarks.row import Row
from benchmarks.workspace import Workspace

Benchmark = Callable[[Workspace], Iterator[Row]]

BENCHMARKS: dict[str, Benchmark] = {
    "clip": clip.run,
    "recording": recording.run,
    "gstreamer": gstreamer.run,
    "v4l2": v4l2.run,
    "hook": frame_hook.run,
    "upload": upload.run,
    "narrow": narrow.run,
    "command": command.run,
    "start": start.run,
    "writes": writes.run,
    "memory": memory.run,
    "idle": idle_traffic.run,
    "watching": watching.run,
    "stream": stream.run,
    "page": page.run,
}
"""By name, in the order in which they run."""
