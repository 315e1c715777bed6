"""The one exception tree of the agent.

Callers catch by layer: `CaptureError` for anything a camera can do, `RingError` for anything the ring can do,
`UplinkError` for anything the network can do. An error that reaches a person or the supervision centre carries a
`code` (stable, kebab-case, part of the contract) beside its sentence.

    EdgeAgentError
    ├── ContractError            a message or record that does not follow the contract
    │   ├── FormatError              bytes that do not follow a binary format
    │   └── SignatureError           a signature that does not hold
    ├── SettingsError            bad settings: command line exit code 2
    ├── UsageError               bad arguments: command line exit code 2
    ├── UnitBusyError            another supervisor runs this unit
    ├── CaptureError
    │   ├── SourceUnavailableError   camera absent, refused, or timed out: retried
    │   │   └── EncodersHangError        no encoder comes back: the process starts anew
    │   ├── SourceStalledError       camera connected but silent: retried
    │   └── SourceFormatError        stream that cannot be recorded: retried slowly
    ├── RingError
    │   ├── RingBusyError            another process owns the ring
    │   ├── RingStorageError         the disk refused a write
    │   │   └── IndexDamagedError        the index is no sound database: rebuilt from the files
    │   ├── RingUnavailableError     the recorder does not answer on its socket: asked again later
    │   └── RingRequestError         a request that the ring rejects (has a code)
    ├── UplinkError
    │   ├── CommandRejectedError     a command that the unit rejects (has a code)
    │   ├── BrokerUnavailableError   the broker cannot be reached or refuses: retried
    │   ├── ConnectionLostError      the connection ended before an answer came
    │   ├── LedgerError              the link's database cannot be read or written
    │   ├── LinkBusyError            another process is this unit's link
    │   ├── TransferRefusedError     the ingest said no: final when repeated
    │   └── TransferInterruptedError the ingest or the network failed: retried
    │       └── TransferLostError        the ingest forgot the upload: created anew
    ├── PositionError
    │   ├── ReceiverUnavailableError gpsd is not there, silent, or something else: retried
    │   └── ReportError              a line that is no report of gpsd, or an impossible one
    └── EvidenceError
        └── VerificationError        a clip that does not match its manifest
"""

from edge_agent.contract.errors import ContractError, EdgeAgentError, FormatError, SignatureError

__all__ = [
    "BrokerUnavailableError",
    "CaptureError",
    "CommandRejectedError",
    "ConnectionLostError",
    "ContractError",
    "EdgeAgentError",
    "EncodersHangError",
    "EvidenceError",
    "FormatError",
    "IndexDamagedError",
    "LedgerError",
    "LinkBusyError",
    "PositionError",
    "ReceiverUnavailableError",
    "ReportError",
    "RingBusyError",
    "RingError",
    "RingRequestError",
    "RingStorageError",
    "RingUnavailableError",
    "SettingsError",
    "SignatureError",
    "SourceFormatError",
    "SourceStalledError",
    "SourceUnavailableError",
    "TransferInterruptedError",
    "TransferLostError",
    "TransferRefusedError",
    "UnitBusyError",
    "UplinkError",
    "UsageError",
    "VerificationError",
]


class SettingsError(EdgeAgentError):
    """Settings that cannot be used; the message names the key, the value and the remedy."""


class UsageError(EdgeAgentError):
    """Arguments that cannot be used; the message names the option, the value and the remedy."""


class UnitBusyError(EdgeAgentError):
    """Another live supervisor runs the unit of this data directory."""


class CaptureError(EdgeAgentError):
    """A camera or its stream failed."""


class SourceUnavailableError(CaptureError):
    """The camera is absent, refuses the connection or does not answer."""


class EncodersHangError(SourceUnavailableError):
    """Every encoder that worked hangs, each with threads of its own; only a new process has them anew."""


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


class IndexDamagedError(RingStorageError):
    """The ring's index is no sound database; the files hold everything that it held."""


class RingUnavailableError(RingError):
    """The recorder that owns the ring does not answer on its socket."""


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


class BrokerUnavailableError(UplinkError):
    """The broker cannot be reached or refuses the session; the message says which and why."""


class ConnectionLostError(UplinkError):
    """The connection to the broker ended before it answered."""


class LedgerError(UplinkError):
    """The link's database cannot be read or written."""


class LinkBusyError(UplinkError):
    """Another live process is the link of this data directory."""


class TransferRefusedError(UplinkError):
    """The ingest refused an upload, for good if it does so again; the message holds its words."""


class TransferTooLargeError(TransferRefusedError):
    """The ingest, or a proxy before it, takes no request of that size."""


class TransferInterruptedError(UplinkError):
    """An upload was interrupted and may be resumed; `retry_after_s` is what the ingest asked for, if it did."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class TransferLostError(TransferInterruptedError):
    """The ingest no longer knows the upload; it has to be created anew."""


class PositionError(EdgeAgentError):
    """Something about the receiver that says where the unit is failed."""


class ReceiverUnavailableError(PositionError):
    """gpsd cannot be reached, fell silent, or is none; the message says which."""


class ReportError(PositionError):
    """A line that is no report of gpsd, or says what cannot be."""


class EvidenceError(EdgeAgentError):
    """Keys, signatures or manifests failed."""


class VerificationError(EvidenceError):
    """A clip that does not match its manifest; the message names the place."""
