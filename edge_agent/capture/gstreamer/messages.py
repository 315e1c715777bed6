"""What the process that runs a pipeline says in JSON, as models: see `pipeline_child` for when it says what."""

from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_agent.contract.errors import FormatError

OutputCodec = Literal["h264", "hevc", "mjpeg", "raw"]
_Text = Annotated[str, Field(max_length=4000)]
_Rate = Annotated[int, Field(ge=0, le=1 << 31)]


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Hello(_Message):
    """GStreamer is there; `gstreamer` and `python` are versions."""

    gstreamer: _Text
    python: _Text


class Caps(_Message):
    """What the units that follow are: GStreamer's caps, its figures taken out, and the factories in the pipeline."""

    codec: OutputCodec
    caps: _Text
    width: Annotated[int, Field(ge=0, le=32_768)]
    height: Annotated[int, Field(ge=0, le=32_768)]
    rate: tuple[_Rate, _Rate]
    layout: Annotated[str, Field(max_length=32)] = ""
    elements: Annotated[tuple[_Text, ...], Field(max_length=512)] = ()

    @property
    def fps(self) -> float:
        """Nominal; 0.0 when it is not told, or is none."""
        numerator, denominator = self.rate
        rate = numerator / denominator if denominator else 0.0
        return rate if 0 < rate <= 240 else 0.0


class Event(_Message):
    """An error or a warning: of the pipeline's bus (GLib's domain and code), or `order`: it cannot be built."""

    severity: Literal["error", "warning"]
    domain: _Text
    code: int | Annotated[str, Field(max_length=64)]
    message: _Text
    element: _Text = ""
    factory: _Text = ""
    debug: _Text = ""
    count: int | None = None


class End(_Message):
    """Nothing follows; why."""

    reason: Literal["ended", "failed", "refused"]


Said = TypeVar("Said", Hello, Caps, Event, End)


def read_message(model: type[Said], payload: bytes) -> Said:
    """Read a message.

    Raises:
        FormatError: it is no such message.
    """
    try:
        return model.model_validate_json(payload)
    except ValidationError as error:
        raise FormatError(f"{model.__name__}: {error.errors()[0]['msg']}: {payload[:80]!r}") from error
