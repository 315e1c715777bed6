"""The one exception tree of the agent.

Callers catch by layer: `CaptureError` for anything a camera can do, `RingError` for anything the ring can do,
`UplinkError` for anything the network can do. An error that reaches a person or the supervision centre carries a
`code` (stable, kebab-case, part of the contract) beside its sentence.

    EdgeAgentError
    ├── ContractError            a message or record that does not follow the contract
    │   ├── FormatError              bytes that do not follow a binary format
    │   └── SignatureError           a signature that does not hold
    ├── SettingsError            bad settings: command line exit code 2
    ├── CaptureError
    │   ├── SourceUnavailableError   camera absent, refused, or timed out: retried
    │   ├── SourceStalledError       camera connected but silent: retried
    │   └── SourceFormatError        stream that cannot be recorded: retried slowly
    ├── RingError
    │   ├── RingBusyError            another process owns the ring
    │   ├── RingStorageError         the disk refused a write
    │   └── RingRequestError         a request that the ring rejects (has a code)
    ├── UplinkError
    │   ├── CommandRejectedError     a command that the unit rejects (has a code)
    │   ├── TransferRefusedError     the ingest said no for good
    │   └── TransferInterruptedError the ingest or the network failed: retried
    └── EvidenceError
        └── VerificationError        a clip that does not match its manifest
"""

from edge_agent.contract.errors import ContractError, EdgeAgentError, FormatError, SignatureError

__all__ = [
    "CaptureError",
    "CommandRejectedError",
    "ContractError",
    "EdgeAgentError",
    "EvidenceError",
    "FormatError",
    "RingBusyError",
    "RingError",
    "RingRequestError",
    "RingStorageError",
    "SettingsError",
    "SignatureError",
    "SourceFormatError",
    "SourceStalledError",
    "SourceUnavailableError",
    "TransferInterruptedError",
    "TransferRefusedError",
    "UplinkError",
    "VerificationError",
]


class SettingsError(EdgeAgentError):
    """Settings that cannot be used; the message names the key, the value and the remedy."""


class CaptureError(EdgeAgentError):
    """A camera or its stream failed."""


class SourceUnavailableError(CaptureError):
    """The camera is absent, refuses the connection or does not answer."""


class SourceStalledError(CaptureError):
    """The camera is connected and sends nothing."""


class SourceFormatError(CaptureError):
    """The stream cannot be recorded as it is (no video, unknown codec, garbage)."""


class RingError(EdgeAgentError):
    """The ring buffer failed."""


class RingBusyError(RingError):
    """Another live process owns the ring."""


class RingStorageError(RingError):
    """The storage refused a read or a write."""


class RingRequestError(RingError):
    """A request that the ring rejects; `code` is one of `contract.codes.ErrorCode`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class UplinkError(EdgeAgentError):
    """Something between the unit and the supervision centre failed."""


class CommandRejectedError(UplinkError):
    """A command that the unit rejects; `code` is one of `contract.codes.ErrorCode`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class TransferRefusedError(UplinkError):
    """The ingest refused an upload for good; the message holds its words."""


class TransferInterruptedError(UplinkError):
    """An upload was interrupted and may be resumed."""


class EvidenceError(EdgeAgentError):
    """Keys, signatures or manifests failed."""


class VerificationError(EvidenceError):
    """A clip that does not match its manifest; the message names the place."""
