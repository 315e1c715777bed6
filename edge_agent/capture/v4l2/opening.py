"""A camera is opened, configured as well as it can be, and started."""

import errno
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from edge_agent.capture.v4l2.buffers import Buffers
from edge_agent.capture.v4l2.choice import Candidate, Wish, candidates, ranked
from edge_agent.capture.v4l2.controls import Turning, ask_key_frame, set_encoder, turn
from edge_agent.capture.v4l2.faults import fault
from edge_agent.capture.v4l2.formats import BY_FOURCC
from edge_agent.capture.v4l2.kernel import Kernel
from edge_agent.capture.v4l2.negotiation import Negotiated, negotiate
from edge_agent.capture.v4l2.node import Identity, Node, fourcc_text
from edge_agent.capture.v4l2.place import Machine
from edge_agent.errors import SourceFormatError, SourceUnavailableError
from edge_agent.settings import CameraSettings

DEFAULT_WIDTH_PX, DEFAULT_HEIGHT_PX, DEFAULT_FPS = 1280, 720, 25.0
_NEXT_PLEASE = frozenset({errno.EINVAL, errno.ENOSPC, errno.ENOMEM, errno.ERANGE})
"""Not in this way: another format may do. A bus without room for raw pixels may have some for MJPEG."""
_NO_DEVICE = frozenset({errno.ENOTTY, errno.EINVAL})
MAX_NEIGHBOURS = 8


@dataclass(frozen=True, slots=True)
class Opened:
    """A camera that sends.

    Attributes:
        node: the one that sends.
        identity: of the camera.
        wish: what was wanted.
        negotiated: what it was configured to.
        buffers: started.
        turning: what the camera does not do of it.
        detail: what else it was told, for people.
    """

    node: Node
    identity: Identity
    wish: Wish
    negotiated: Negotiated
    buffers: Buffers
    turning: Turning
    detail: str

    def close(self) -> None:
        """Stop and close, whatever state the camera is in."""
        self.buffers.stop()
        self.node.close()


class Opener:
    """Opens one camera, once."""

    def __init__(self, path: str, settings: CameraSettings, kernel: Kernel, machine: Machine) -> None:
        self._path = path
        self._settings = settings
        self._kernel = kernel
        self._machine = machine
        self.node_path = kernel.resolve(path)
        """The node that the path leads to now."""

    def open(self) -> Opened:
        """Open, configure and start it.

        Raises:
            OSError: as the kernel raised it; `fault` says what it means.
            SourceUnavailableError: it is no camera.
            SourceFormatError: it offers nothing that can be recorded.
        """
        nodes = {self.node_path: Node(self._kernel, self.node_path)}
        opened: Opened | None = None
        try:
            opened = self._opened(nodes)
        finally:
            for node in nodes.values():
                if opened is None or node is not opened.node:
                    node.close()
        return opened

    def _opened(self, nodes: dict[str, Node]) -> Opened:
        first = nodes[self.node_path]
        identity = self._identity(first)
        if identity.buffer_type is None:
            raise SourceUnavailableError(self._no_camera(identity))
        turning = turn(first, self._settings)
        wish = self._wish(turning)
        found = candidates(first, identity.buffer_type, wish)
        if wish.pass_through and wish.kind in {"auto", "h264"}:
            found += self._from_neighbours(nodes, found, wish)
        refusals = []
        for candidate in ranked(found, wish):
            node = nodes[candidate.path]
            buffers: Buffers | None = None
            try:
                turning = turn(first, self._turned_by_camera(candidate))
                negotiated = negotiate(node, candidate)
                detail = self._tell_encoder(node, candidate, negotiated)
                buffers = Buffers(node, negotiated)
                buffers.start()
            except SourceFormatError as error:
                refusals.append(str(error))
            except OSError as error:
                if error.errno not in _NEXT_PLEASE:
                    _stop(buffers)
                    raise
                refusals.append(str(fault(error, self._path, node.path, "started", self._machine)))
            else:
                return Opened(node, identity, wish, negotiated, buffers, turning, detail)
            _stop(buffers)
        raise SourceFormatError(self._nothing_fits(first, identity.buffer_type, wish, refusals))

    def _identity(self, node: Node) -> Identity:
        try:
            return node.identity()
        except OSError as error:
            if error.errno in _NO_DEVICE:
                raise SourceUnavailableError(
                    f"{self._path} is no camera of the kernel's (V4L2); name one that is: {self._machine.present()}"
                ) from error
            raise

    def _wish(self, turning: Turning) -> Wish:
        settings = self._settings
        order = settings.encoder.order
        is_changed = bool(settings.masks) or settings.overlay or not turning.is_done
        own_encoder = settings.encoder.codec == "h264" and (order is None or order[0] == "camera")
        return Wish(
            settings.width or DEFAULT_WIDTH_PX,
            settings.height or DEFAULT_HEIGHT_PX,
            Fraction(settings.fps or DEFAULT_FPS).limit_denominator(1001),
            settings.v4l2.format,
            pass_through=own_encoder and not is_changed,
        )

    def _turned_by_camera(self, candidate: Candidate) -> CameraSettings:
        """What the camera is asked to turn: nothing of H.264 that is decoded behind it, and turned there."""
        settings = self._settings
        if candidate.form.kind == "h264" and (settings.masks or settings.overlay):
            return settings.model_copy(update={"rotation_deg": 0, "hflip": False, "vflip": False})
        return settings

    def _from_neighbours(self, nodes: dict[str, Node], found: Iterable[Candidate], wish: Wish) -> list[Candidate]:
        """H.264 of the camera's other nodes, where many UVC cameras have it."""
        if any(candidate.form.kind == "h264" for candidate in found):
            return []
        more: list[Candidate] = []
        for path in self._machine.neighbours(self.node_path)[:MAX_NEIGHBOURS]:
            try:
                node = nodes[path] = Node(self._kernel, path)
                kind = node.identity().buffer_type
                offered = [] if kind is None else candidates(node, kind, wish)
            except OSError:  # not for us; what the first node offers is enough
                continue
            more += [candidate for candidate in offered if candidate.form.kind == "h264"]
        return more

    def _tell_encoder(self, node: Node, candidate: Candidate, negotiated: Negotiated) -> str:
        if negotiated.form.kind != "h264":
            return ""
        told = set_encoder(node, self._settings, float(negotiated.fps or candidate.fps))
        ask_key_frame(node)
        return f"its own encoder: {told}"

    def _no_camera(self, identity: Identity) -> str:
        others = [path for path in self._machine.neighbours(self.node_path) if self._captures(path)]
        remedy = f"name {others[0]}" if others else f"name one that is: {self._machine.present()}"
        return f"{self._path} is no camera but {identity.role} ({identity.card or identity.driver}); {remedy}"

    def _captures(self, path: str) -> bool:
        try:
            node = Node(self._kernel, path)
        except OSError:
            return False
        try:
            return node.identity().buffer_type is not None
        except OSError:
            return False
        finally:
            node.close()

    def _nothing_fits(self, node: Node, buffer_type: int, wish: Wish, refusals: list[str]) -> str:
        if refusals:
            return f"{self._path}: nothing that it offers can be recorded: {'; '.join(refusals[:3])}"
        offered = node.fourccs(buffer_type)
        names = ", ".join(fourcc_text(fourcc) for fourcc in offered) or "nothing"
        if wish.kind != "auto" and any(fourcc in BY_FOURCC for fourcc in offered):
            return f"{self._path} has no {wish.kind}, it offers {names}; set camera.v4l2.format to auto"
        return f"{self._path} offers {names}, which cannot be recorded; use another camera"


def _stop(buffers: Buffers | None) -> None:
    if buffers is not None:
        buffers.stop()


def sizes_on_offer(node: Node, negotiated: Negotiated) -> str:
    """The sizes of a format, for a message.

    Raises:
        OSError: as the kernel raised it.
    """
    told = []
    for size in node.sizes(negotiated.form.fourcc)[:24]:
        least, most = f"{size.min_width_px}×{size.min_height_px}", f"{size.max_width_px}×{size.max_height_px}"
        told.append(least if least == most else f"{least} to {most}")
    return ", ".join(told) or "it does not say which"


def rates_on_offer(node: Node, negotiated: Negotiated) -> str:
    """The rates at the configured size, for a message.

    Raises:
        OSError: as the kernel raised it.
    """
    told = []
    for rate in node.rates(negotiated.form.fourcc, negotiated.width_px, negotiated.height_px)[:24]:
        least, most = f"{float(rate.min_fps):g}", f"{float(rate.max_fps):g}"
        told.append(least if least == most else f"{least} to {most}")
    return ", ".join(told) or "it does not say which"
