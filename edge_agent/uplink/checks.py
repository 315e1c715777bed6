"""What the parameters of each command must fulfil beyond their types, as a table."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edge_agent.contract.codes import ErrorCode
from edge_agent.contract.commands import MAX_CLIP_S, NEEDS_REFERENCE, ClipRequest, CommandClaims, CoverageQuery
from edge_agent.contract.model import ContractModel
from edge_agent.contract.upload import origin_of
from edge_agent.errors import CommandRejectedError, ContractError
from edge_agent.settings import UploadSettings

_MAX_QUERY_S = 32 * 24 * 3600


@dataclass(frozen=True, slots=True)
class UnitFacts:
    """What the checks need to know of this unit."""

    unit_id: str
    cameras: frozenset[str]
    upload: UploadSettings | None


def check_parameters(claims: CommandClaims, model: type[ContractModel], unit: UnitFacts) -> ContractModel:
    """Read and check the parameters of a command.

    Raises:
        CommandRejectedError: with the code of what is wrong.
    """
    try:
        parameters = model.from_object(claims.params)
    except ContractError as error:
        raise CommandRejectedError(ErrorCode.PARAMETERS_INVALID, str(error)[:500]) from error
    if claims.cmd in NEEDS_REFERENCE and (claims.reference is None or claims.purpose is None):
        message = f"{claims.cmd} needs `reference` and `purpose` beside its parameters"
        raise CommandRejectedError(ErrorCode.PARAMETERS_INVALID, message)
    check = _CHECKS.get(claims.cmd)
    if check is not None:
        check(parameters, unit)
    return parameters


def _check_camera(name: str, unit: UnitFacts) -> None:
    if name not in unit.cameras:
        known = ", ".join(sorted(unit.cameras))
        raise CommandRejectedError(ErrorCode.UNKNOWN_CAMERA, f"{unit.unit_id} has no camera {name!r}; it has {known}")


def _check_interval(from_us: int, to_us: int, longest_s: int) -> None:
    if to_us <= from_us:
        raise CommandRejectedError(ErrorCode.INTERVAL_INVALID, "`to` must be after `from`")
    if to_us - from_us > longest_s * 1_000_000:
        message = (
            f"the interval is {(to_us - from_us) / 3.6e9:.1f} h long; at most {longest_s / 3600:.0f} h are given"
        )
        raise CommandRejectedError(ErrorCode.INTERVAL_INVALID, message)


def _check_origin(url: str, upload: UploadSettings | None) -> None:
    allowed = set() if upload is None else {origin_of(upload.url), *map(origin_of, upload.allowed_origins)}
    try:
        origin = origin_of(url)
    except ContractError as error:
        raise CommandRejectedError(ErrorCode.ORIGIN_NOT_ALLOWED, f"upload: {error}") from error
    if origin not in allowed:
        message = f"upload: {origin} is not an origin that the unit was given ([upload] url, allowed_origins)"
        raise CommandRejectedError(ErrorCode.ORIGIN_NOT_ALLOWED, message)


def _check_clip(parameters: ContractModel, unit: UnitFacts) -> None:
    if isinstance(parameters, ClipRequest):
        _check_camera(parameters.camera, unit)
        _check_interval(parameters.from_us, parameters.to_us, MAX_CLIP_S)
        if parameters.upload is not None:
            _check_origin(parameters.upload, unit.upload)


def _check_coverage(parameters: ContractModel, unit: UnitFacts) -> None:
    if isinstance(parameters, CoverageQuery):
        _check_camera(parameters.camera, unit)
        _check_interval(parameters.from_us, parameters.to_us, _MAX_QUERY_S)


_CHECKS: Mapping[str, Callable[[ContractModel, UnitFacts], None]] = {
    "clip.request": _check_clip,
    "coverage.query": _check_coverage,
}
