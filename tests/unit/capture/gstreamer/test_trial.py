"""Which pipeline a Jetson's camera gets, by what its encoders do when they are tried."""

import threading

import pytest

from edge_agent.capture.gstreamer import trial
from edge_agent.capture.gstreamer.address import ArgusCamera
from edge_agent.capture.gstreamer.chains import Chain
from edge_agent.capture.gstreamer.trial import working_pipeline
from edge_agent.capture.source import SourceContext
from edge_agent.errors import SourceUnavailableError
from edge_agent.settings import CameraSettings
from tests.unit.capture.fakes import make_context

MASK = [[(0.0, 0.0), (0.5, 0.0), (0.5, 1.0)]]


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names of encoders that do not work here; none, to begin with."""
    names: set[str] = set()

    def try_out(chain: Chain, width_px: int, height_px: int, context: SourceContext) -> str | None:
        assert (width_px, height_px) == (1280, 720)
        return "no such device" if chain.name in names else None

    monkeypatch.setattr(trial, "why_not", try_out)
    return names


def pipeline(context: SourceContext, **more: object) -> str:
    settings = CameraSettings.model_validate({"name": "main", "source": "gstreamer:argus"} | more)
    return working_pipeline(ArgusCamera(), settings, context, threading.Event())


def test_the_boards_encoder_comes_first_and_software_when_it_does_not_work(broken: set[str]) -> None:
    context = make_context()
    assert "nvv4l2h264enc" in pipeline(context, encoder={"quality": 23.0})
    assert context.report.state.encoder_detail == "goes by bit rate: it has no constant quality"
    broken.add("nvv4l2h264enc")
    assert "x264enc" in pipeline(context)
    assert context.report.state.encoder == "x264enc"
    assert "nvv4l2h264enc does not work: no such device" in context.report.state.encoder_detail
    assert context.report.state.encoder_failures == 0, "a board without an engine is not broken"


def test_none_works(broken: set[str]) -> None:
    broken |= {"nvv4l2h265enc", "x265enc"}
    with pytest.raises(SourceUnavailableError, match=r"no encoder works: nvv4l2h265enc .*; x265enc"):
        pipeline(make_context(), encoder={"codec": "hevc"})


@pytest.mark.parametrize("more", [{"masks": MASK}, {"overlay": True}, {"encoder": {"order": ["libx264"]}}])
def test_pictures_that_are_looked_at_here_come_raw(broken: set[str], more: dict[str, object]) -> None:
    assert pipeline(make_context(), **more).endswith("video/x-raw,format=I420,width=1280,height=720")
