"""Every error code that a reply, an ingest answer or a ring answer may carry, with what it means."""

from enum import StrEnum


class ErrorCode(StrEnum):
    """Stable codes of the contract; `RETRIABLE` ones do not burn a command id."""

    MALFORMED = "malformed"
    """The body cannot be read."""
    TOO_LARGE = "too-large"
    """The body is over the contract's limit."""
    UNSIGNED = "unsigned"
    """The body is not a signed command."""
    SIGNATURE_INVALID = "signature-invalid"
    """The signature does not hold or its key is not trusted."""
    WRONG_UNIT = "wrong-unit"
    """The command is for another unit."""
    NOT_AUTHORISED = "not-authorised"
    """The role may not give this command."""
    EXPIRED = "expired"
    """`exp` is over."""
    NOT_YET_VALID = "not-yet-valid"
    """`iat` lies in the future beyond the clock's bound."""
    ID_REUSED = "id-reused"
    """The id was used with another body."""
    UNKNOWN_COMMAND = "unknown-command"
    """The unit does not know the command."""
    PARAMETERS_INVALID = "parameters-invalid"
    """A parameter is missing or wrong."""
    UNKNOWN_CAMERA = "unknown-camera"
    """The unit has no such camera."""
    UNKNOWN_CLIP = "unknown-clip"
    """The unit knows no such clip."""
    UNKNOWN_ID = "unknown-id"
    """The unit knows no such command."""
    INTERVAL_INVALID = "interval-invalid"
    """`to` is not after `from`, or the interval is longer than the unit delivers."""
    INTERVAL_IN_FUTURE = "interval-in-future"
    """The interval reaches further into the future than the unit waits for."""
    INTERVAL_OVERWRITTEN = "interval-overwritten"
    """The ring's oldest footage is younger than the whole interval."""
    INTERVAL_EMPTY = "interval-empty"
    """Nothing was recorded in the interval; the message says why."""
    NOT_YET = "not-yet"
    """Ring only: the interval's end is not recorded yet; asked again later."""
    ORIGIN_NOT_ALLOWED = "origin-not-allowed"
    """The upload URL is outside the unit's allowed origins."""
    UPLOAD_REFUSED = "upload-refused"
    """The ingest refused the upload; the message holds its words."""
    VERIFICATION_FAILED = "verification-failed"
    """The supervision centre could not verify what it received."""
    FOOTAGE_DAMAGED = "footage-damaged"
    """Ring bytes that the plan names can no longer be read."""
    CANCELLED = "cancelled"
    """The command was cancelled by another."""
    TOO_MANY = "too-many"
    """The unit's queue of durable commands is full."""
    CLOCK_UNKNOWN = "clock-unknown"
    """The unit cannot tell whether the command is fresh."""
    STORAGE_ERROR = "storage-error"
    """The unit could not store the command or its plan."""
    RECORDER_UNAVAILABLE = "recorder-unavailable"
    """The camera's recorder does not answer."""
    CAMERA_UNAVAILABLE = "camera-unavailable"
    """Ring only: the camera gives no picture."""
    RESTARTING = "restarting"
    """The unit stopped before an ephemeral command ended."""
    INTERNAL = "internal"
    """A defect of the software; the message helps its maintainers."""


RETRIABLE = frozenset(
    {
        ErrorCode.CLOCK_UNKNOWN,
        ErrorCode.STORAGE_ERROR,
        ErrorCode.TOO_MANY,
        ErrorCode.RECORDER_UNAVAILABLE,
    }
)
"""Rejections that a retry can mend: the command's id stays unused."""
