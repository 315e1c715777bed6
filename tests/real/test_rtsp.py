"""The RTSP source against a real server: codecs, credentials, TLS, and every way a camera goes away."""

import ipaddress
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edge_agent.capture.outputs import make_outputs
from edge_agent.capture.source import SourceContext
from edge_agent.capture.table import open_source
from edge_agent.capture.timecode import read
from edge_agent.capture.timeline import MediaTimeline
from edge_agent.clock import SystemClock
from edge_agent.contract.access_unit import AccessUnit, CodecConfig, GapCause
from edge_agent.errors import SourceFormatError, SourceStalledError, SourceUnavailableError
from edge_agent.settings import CameraSettings
from tests.real.rtsp import RtspServer
from tests.support.polling import wait_until
from tests.support.processes import Processes
from tests.support.supervised import StartCapture, captures, decode_all, run_once
from tests.unit.capture.fakes import RecordingSink

pytestmark = pytest.mark.real

PASSWORD = "p@ss/w:rd#%?&x"


@pytest.fixture
def capture() -> Iterator[StartCapture]:
    """Starts cameras."""
    with captures() as start:
        yield start


@pytest.mark.parametrize("in_band", [[], ["--in-band"]])
@pytest.mark.parametrize("b_frames", ["0", "2"])
@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_a_camera_is_recorded_as_it_comes(
    processes: Processes, capture: StartCapture, codec: str, b_frames: str, in_band: list[str]
) -> None:
    server = RtspServer(processes, "--codec", codec, "--bframes", b_frames, "--fps", "15", *in_band).start()
    camera = capture(server.url())
    camera.until_units(45)
    camera.end()
    config, cause = camera.sink.starts[0]
    assert len(camera.sink.starts) == 1
    assert cause == "start"
    assert config.codec == {"h264": "h264", "h265": "hevc"}[codec]
    assert (config.width_px, config.height_px) == (704, 576)
    units = camera.sink.units
    assert len(decode_all(config, units)) >= len(units) - 1, "what was written decodes, the last picture aside"
    assert any(unit.pts_90k > unit.dts_90k for unit in units) is (b_frames != "0")
    steps = [later.dts_90k - earlier.dts_90k for earlier, later in pairwise(units)]
    assert sorted(steps)[len(steps) // 2] == pytest.approx(6000, abs=100)


@pytest.mark.parametrize("method", ["basic", "digest"])
def test_a_password_with_any_characters_is_understood(
    processes: Processes, capture: StartCapture, method: str
) -> None:
    server = RtspServer(processes, "--auth", method, "--user", "ad@min", "--password", PASSWORD).start()
    capture(server.url("ad@min", PASSWORD)).until_units(5)
    capture(f"rtsp://ad@min:{PASSWORD}@127.0.0.1:{server.port}/cam").until_units(5)


def test_a_wrong_password_is_told_without_being_repeated(
    processes: Processes, capture: StartCapture, caplog: pytest.LogCaptureFixture
) -> None:
    server = RtspServer(processes, "--password", PASSWORD).start()
    wrong = "wr@ng-" + PASSWORD
    camera = capture(server.url("admin", wrong))
    state = camera.until(lambda state: state.cause, "a cause")
    assert "refused user or password" in state.detail
    with pytest.raises(SourceUnavailableError) as caught:
        run_once(server.url("admin", wrong))
    assert caught.value.__context__ is None, "libav's exception carries the address"
    for told in (state.detail, str(caught.value), caplog.text, repr(camera.sink.ends)):
        assert "wr@ng" not in told
        assert "wr%40ng" not in told


def test_a_path_that_is_not_there(processes: Processes) -> None:
    server = RtspServer(processes).start()
    with pytest.raises(SourceUnavailableError, match="no such path"):
        run_once(server.url().replace("/cam", "/elsewhere"))


def test_another_codec_is_named(processes: Processes) -> None:
    server = RtspServer(processes, "--codec", "mjpeg").start()
    with pytest.raises(SourceFormatError, match=r"mjpeg.*H\.264"):
        run_once(server.url())


def test_a_camera_that_is_absent_at_start_is_found_later(processes: Processes, capture: StartCapture) -> None:
    server = RtspServer(processes).start()
    server.kill()
    camera = capture(server.url())
    state = camera.until(lambda state: state.restarts > 0, "a second attempt")
    assert not state.connected
    server.start()
    camera.until_units(5)
    assert camera.sink.causes == ["camera-lost"]


def test_a_camera_that_loses_power_is_found_again(processes: Processes, capture: StartCapture) -> None:
    server = RtspServer(processes).start()
    camera = capture(server.url())
    camera.until_units(30)
    server.kill()
    state = camera.until(lambda state: not state.connected, "the loss")
    before = len(camera.sink.units)
    assert state.cause == "camera-lost"
    server.start()
    camera.until(lambda state: state.connected, "the return")
    camera.until_units(before + 30)
    assert camera.sink.causes[:2] == ["start", "camera-lost"]
    last, first = camera.sink.streams[0][-1], camera.sink.streams[1][0]
    gap_us, gap_90k = first.capture_us - last.capture_us, first.dts_90k - last.dts_90k
    assert gap_90k * 100 / 9 == pytest.approx(gap_us, abs=300_000), "the gap shows in media time"


def test_a_camera_that_freezes_is_left_and_found_again(processes: Processes, capture: StartCapture) -> None:
    server = RtspServer(processes).start()
    camera = capture(server.url(), stall_timeout_s=1.0, connect_timeout_s=2.0)
    camera.until_units(30)
    server.freeze()
    state = camera.until(lambda state: not state.connected, "the stall")
    before = len(camera.sink.units)
    assert state.cause == "camera-lost"
    assert "silent for" in state.detail or "nothing came from the source" in state.detail
    server.thaw()
    camera.until(lambda state: state.connected, "the return")
    camera.until_units(before + 30)
    assert not camera.supervisor.state().hung


def test_hanging_up_time_and_again_leaves_nothing_open(processes: Processes, capture: StartCapture) -> None:
    server = RtspServer(processes).start()
    camera = capture(server.url(), stall_timeout_s=1.0, connect_timeout_s=2.0)
    open_files: list[int] = []
    for _ in range(4):
        pictures = len(camera.sink.units)
        camera.until_units(pictures + 10)
        open_files.append(len(list(Path("/proc/self/fd").iterdir())))
        server.freeze()
        camera.until(lambda state: not state.connected, "the stall")
        server.thaw()
    assert open_files[-1] <= open_files[0] + 1
    assert not camera.supervisor.state().hung


def test_a_silent_camera_is_a_stall(processes: Processes) -> None:
    server = RtspServer(processes).start()
    sink = RecordingSink()

    def freeze() -> None:
        wait_until(lambda: sink.units, what="pictures")
        server.freeze()

    freezer = threading.Thread(target=freeze)
    freezer.start()
    with pytest.raises(SourceStalledError, match=r"connected, but silent for \d+ s"):
        run_once(server.url(), sink=sink, connect_timeout_s=5.0, stall_timeout_s=1.0)
    freezer.join()


def test_stopping_while_the_camera_is_frozen(processes: Processes, capture: StartCapture) -> None:
    server = RtspServer(processes).start()
    camera = capture(server.url(), stall_timeout_s=30.0)
    camera.until_units(10)
    server.freeze()
    began_us = camera.clock.monotonic_us()
    camera.end()
    assert camera.clock.monotonic_us() - began_us < 2_000_000
    assert camera.sink.ends[-1][0] == "stopped"
    server.kill()


def test_a_size_that_changes_in_mid_stream_opens_a_stream(processes: Processes, capture: StartCapture) -> None:
    server = RtspServer(processes, "--in-band", "--change-to", "1280x720", "--change-after-s", "4").start()
    camera = capture(server.url())
    wait_until(lambda: len(camera.sink.starts) == 2, what="a second stream", timeout_s=60)
    camera.until_units(len(camera.sink.units) + 30)
    camera.end()
    assert camera.sink.causes == ["start", "parameters-changed"]
    assert [(config.width_px, config.height_px) for config, _ in camera.sink.starts] == [(704, 576), (1280, 720)]
    for (config, _), units in zip(camera.sink.starts, camera.sink.streams, strict=True):
        sizes = {(frame.width, frame.height) for frame in decode_all(config, units)}
        assert sizes == {(config.width_px, config.height_px)}, "each decodes by its own configuration"


class PipeSink:
    """Writes a stream's pictures to a pipe as they are."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._head = b""

    def start_stream(self, config: CodecConfig, cause: GapCause) -> None:
        self._head = config.extradata

    def write(self, unit: AccessUnit) -> None:
        os.write(self._descriptor, (self._head if unit.is_key else b"") + unit.data)

    def end_stream(self, cause: GapCause, detail: str) -> None:
        os.close(self._descriptor)


def test_capture_times_are_those_that_the_pictures_show(processes: Processes, capture: StartCapture) -> None:
    """The drawn street goes through a real encoder, server and network; its time code tells when it was drawn."""
    reading, writing = os.pipe()
    server = RtspServer(processes, "--stdin", stdin=reading).start()
    os.close(reading)
    clock = SystemClock()
    street = CameraSettings(name="main", source="test:", width=704, height=576, bitrate_kbps=1000)
    stop, pipe = threading.Event(), PipeSink(writing)
    context = SourceContext(
        "nomad-07", clock, MediaTimeline(clock.monotonic_us()), frames=make_outputs(street, clock, pipe)
    )
    context.activity.hand_over = lambda: None  # the pipe takes every picture at once, as a camera's network does
    thread = threading.Thread(target=open_source(street, context).run, args=(pipe, stop))
    thread.start()
    try:
        camera = capture(server.url())
        camera.until_units(150)
        camera.end()
    finally:
        stop.set()
        thread.join(20)
        pipe.end_stream("stopped", "")
    to_wall_us = clock.wall_us() - clock.monotonic_us()
    frames = decode_all(camera.sink.starts[0][0], camera.sink.streams[0])
    codes = [read(np.asarray(frame.reformat(format="gray").to_ndarray(), dtype=np.uint8)) for frame in frames]
    errors_ms = [
        (unit.capture_us + to_wall_us) / 1000 - code.utc_ms
        for unit, code in zip(camera.sink.streams[0], codes, strict=False)
        if code is not None
    ]
    assert len(errors_ms) > 100
    middle_ms = sorted(errors_ms)[len(errors_ms) // 2]
    assert -20 < middle_ms < 300, "encoder, server and network delay a picture, and nothing else does"


def make_certificate(folder: Path, name: str) -> Path:
    """PEM with certificate and key for `name`, self-signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "camera")])
    now = datetime.fromtimestamp(SystemClock().wall_us() / 1e6, UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(name))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + private)
    return path


def test_a_trusted_certificate_is_accepted(processes: Processes, capture: StartCapture, tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path, "127.0.0.1")
    server = RtspServer(processes, "--tls-certificate", str(certificate)).start()
    capture(server.url(scheme="rtsps"), ca_file=str(certificate)).until_units(5)


def test_an_unknown_certificate_is_refused_unless_told_otherwise(
    processes: Processes, capture: StartCapture, tmp_path: Path
) -> None:
    server = RtspServer(processes, "--tls-certificate", str(make_certificate(tmp_path, "127.0.0.1"))).start()
    with pytest.raises(SourceUnavailableError, match=r"camera\.ca_file"):
        run_once(server.url(scheme="rtsps"))
    capture(server.url(scheme="rtsps"), tls_verify=False).until_units(5)


def test_a_certificate_for_another_host_is_refused(processes: Processes, tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path, "192.0.2.7")
    server = RtspServer(processes, "--tls-certificate", str(certificate)).start()
    with pytest.raises(SourceUnavailableError, match=r"camera\.ca_file"):
        run_once(server.url(scheme="rtsps"), ca_file=str(certificate))
