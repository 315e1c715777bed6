"""What a recorder tells of its camera beside its footage, put together from what capture knows."""

from edge_agent.capture.frames.hook import FrameHook, HookFigures
from edge_agent.capture.report import ReportState
from edge_agent.contract.ring_protocol import CaptureFigures

PICTURE_BLACK = "picture-black"
PICTURE_FROZEN = "picture-frozen"
_MAX_TEXT = 300


def capture_figures(report: ReportState, hook: FrameHook | None) -> CaptureFigures:
    """Figures for the recorder's state."""
    configured = report.configured
    drawn = HookFigures() if hook is None else hook.figures
    health = None if hook is None else hook.health
    return CaptureFigures(
        device="" if configured is None else configured.device[:_MAX_TEXT],
        format="" if configured is None else configured.format,
        width_px=None if configured is None else configured.width_px,
        height_px=None if configured is None else configured.height_px,
        promised_fps=None if configured is None else configured.fps or None,
        detail="" if configured is None else configured.detail[:_MAX_TEXT],
        encoder=report.encoder,
        encoder_detail=report.encoder_detail[:_MAX_TEXT],
        encoder_failures=report.encoder_failures,
        encoder_fault=report.encoder_fault[:_MAX_TEXT],
        notes={code: detail[:_MAX_TEXT] for code, detail in report.warnings.items()},
        pictures=drawn.pictures,
        unmasked=drawn.unmasked,
        text_skipped=drawn.text_skipped,
        samples_skipped=drawn.samples_skipped,
        hook_fault=drawn.fault[:_MAX_TEXT],
        mean_luma=None if health is None else round(health.mean_luma, 1),
    )


def warnings_of(report: ReportState, hook: FrameHook | None) -> tuple[str, ...]:
    """Codes for segment headers, manifests and health."""
    health = None if hook is None else hook.health
    seen = (
        (PICTURE_BLACK, health is not None and health.is_black),
        (PICTURE_FROZEN, health is not None and health.is_frozen),
    )
    return (*report.warnings, *(code for code, holds in seen if holds))
