"""The kernel's refusals in words, each with the remedy."""

import errno
import os

from edge_agent.capture.v4l2.place import Machine
from edge_agent.errors import SourceUnavailableError

_GONE = frozenset({errno.ENOENT, errno.ENODEV, errno.ENXIO})
"""The camera is not there, or not any more."""


def fault(error: OSError, path: str, node: str, doing: str, machine: Machine) -> SourceUnavailableError:
    """What a failed call on a device means.

    Args:
        error: as the kernel raised it.
        path: as the settings name the device.
        node: what that is now.
        doing: what was tried, as in "opened".
        machine: where to look for holders and other cameras.
    """
    named = path if node == path else f"{path} ({node})"
    number = error.errno or 0
    if number in _GONE:
        return SourceUnavailableError(
            f"{named} is not there; plug the camera in, or name one of these: {machine.present()}"
        )
    if number in {errno.EACCES, errno.EPERM}:
        return SourceUnavailableError(
            f"{named} may not be {doing} by this user; make it a member of the group video"
            " (usermod -aG video USER, then start anew), and give a container the device"
        )
    if number == errno.EBUSY:
        holders = ", ".join(machine.holders(node)) or "a process of another user"
        return SourceUnavailableError(f"{named} is in use by {holders}; end it, or name another camera")
    if number == errno.ENOSPC:
        return SourceUnavailableError(
            f"{named} gets no room on its USB bus; ask for a smaller picture, fewer a second or MJPEG, or plug it"
            " into a socket of another bus"
        )
    reason = os.strerror(number) if number else str(error)
    return SourceUnavailableError(
        f"{named} could not be {doing}: {reason}; unplug it and plug it in again, and look at the kernel's log"
    )
