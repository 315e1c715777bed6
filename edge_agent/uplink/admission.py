"""Admission: what a body has to be before the unit does anything for it.

In this order: size; form of a JWS; signature, type and key; claims; `aud`; the id (the same body again gets the
present reply, however old it is; another body is `id-reused`); the command; the role; freshness; parameters,
reference and purpose. The first that fails gives the code. The id comes before freshness, so that an accepted command
which is delivered once more after its `exp` is not answered `expired`: a reply never goes back.
"""

import base64
import hashlib
import json
import re
from dataclasses import dataclass

from edge_agent.clock import Clock
from edge_agent.contract.codes import ErrorCode
from edge_agent.contract.commands import DURABLE, EPHEMERAL, ROLES, CommandClaims
from edge_agent.contract.jws import TrustedKeys
from edge_agent.contract.model import MAX_MESSAGE_BYTES, ContractModel, canonical_json
from edge_agent.contract.names import UUID_PATTERN
from edge_agent.errors import CommandRejectedError, SignatureError
from edge_agent.uplink.checks import UnitFacts, check_parameters
from edge_agent.uplink.freshness import check_fresh
from edge_agent.uplink.ledger import Entry, Ledger
from edge_agent.uplink.newest import NewestIat
from edge_agent.uplink.stamps import ClockBelief

UNKNOWN = "unknown"
"""Stands for a command id or name that could not be read."""

_JWS = re.compile(rb"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)")
_COMMAND_NAME = re.compile(r"[a-z]+(\.[a-z]+)*")

_BURNING = frozenset(
    {
        ErrorCode.NOT_AUTHORISED,
        ErrorCode.PARAMETERS_INVALID,
        ErrorCode.UNKNOWN_CAMERA,
        ErrorCode.INTERVAL_INVALID,
        ErrorCode.ORIGIN_NOT_ALLOWED,
    }
)
"""Rejections that are stored: they would be the same at any time, and the id is used up."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """A command to carry out."""

    claims: CommandClaims
    parameters: ContractModel
    body_sha256: str
    durable: bool


@dataclass(frozen=True, slots=True)
class Repeated:
    """A durable command that the ledger has already, with the same body."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Refused:
    """A body that is not carried out.

    Attributes:
        command_id: of the body, or `unknown`.
        command: its name, or `unknown`.
        claims: when a trusted key signed them.
        body_sha256: of the claims, when they are to be stored as rejected; None otherwise.
    """

    command_id: str
    command: str
    code: str
    message: str
    claims: CommandClaims | None = None
    body_sha256: str | None = None

    @property
    def is_signed(self) -> bool:
        """A trusted key signed it: it is answered without limit of rate."""
        return self.claims is not None


Verdict = Admitted | Repeated | Refused


class Admission:
    """Judges bodies of `down/command`."""

    def __init__(
        self,
        unit: UnitFacts,
        keys: TrustedKeys,
        ledger: Ledger,
        clock: Clock,
        belief: ClockBelief,
        newest: NewestIat,
    ) -> None:
        self._unit = unit
        self._keys = keys
        self._ledger = ledger
        self._clock = clock
        self._belief = belief
        self._newest = newest

    async def judge(self, body: bytes) -> Verdict:
        """What to do with a body.

        Raises:
            LedgerError: the ledger cannot be read, and nobody can tell whether the id is new. Nothing is answered: it
                would be `rejected`, perhaps after `running`. The sender sends again.
        """
        try:
            payload_text = _payload_segment(body)
            claims = self._signed_claims(body)
        except CommandRejectedError as error:
            return await self._refuse_unsigned(body, error)
        digest = hashlib.sha256(payload_text).hexdigest()
        try:
            known = await self._known(claims, digest)
            return known or await self._judge_new(claims, digest)
        except CommandRejectedError as error:
            stored = error.code in _BURNING and claims.cmd in DURABLE
            return Refused(claims.jti, claims.cmd, error.code, str(error), claims, digest if stored else None)

    def _signed_claims(self, body: bytes) -> CommandClaims:
        try:
            payload = self._keys.verify("command", body.decode("ascii"))
        except SignatureError as error:
            raise CommandRejectedError(ErrorCode.SIGNATURE_INVALID, str(error)[:300]) from error
        try:
            return _as_stored(CommandClaims.from_object(payload))
        except ValueError as error:
            raise CommandRejectedError(ErrorCode.MALFORMED, _clean(error)) from error

    async def _known(self, claims: CommandClaims, digest: str) -> Repeated | None:
        if claims.aud != self._unit.unit_id:
            raise CommandRejectedError(ErrorCode.WRONG_UNIT, f"the command is for {claims.aud}")
        entry = await self._ledger.find(claims.jti)
        if entry is not None and entry.body_sha256 != digest:
            raise CommandRejectedError(ErrorCode.ID_REUSED, f"the id was used by another {entry.claims.cmd}")
        return None if entry is None else Repeated(entry)

    async def _judge_new(self, claims: CommandClaims, digest: str) -> Admitted:
        model = DURABLE.get(claims.cmd) or EPHEMERAL.get(claims.cmd)
        if model is None:
            raise CommandRejectedError(ErrorCode.UNKNOWN_COMMAND, f"{self._unit.unit_id} knows no {claims.cmd!r:.60}")
        if claims.role not in ROLES[claims.cmd]:
            raise CommandRejectedError(ErrorCode.NOT_AUTHORISED, f"the role {claims.role} may not give {claims.cmd}")
        ephemeral = claims.cmd in EPHEMERAL
        check_fresh(claims, self._clock.wall_us(), self._belief, self._newest.iat_s, ephemeral)
        parameters = check_parameters(claims, model, self._unit)
        await self._newest.note(claims.iat)
        return Admitted(claims, parameters, digest, durable=not ephemeral)

    async def _refuse_unsigned(self, body: bytes, error: CommandRejectedError) -> Refused:
        command_id, command = _claimed_names(body)
        # Nobody's word must end a command that the unit is carrying out.
        if command_id != UNKNOWN and await self._ledger.find(command_id) is not None:
            command_id = UNKNOWN
        return Refused(command_id, command, error.code, str(error))


def _payload_segment(body: bytes) -> bytes:
    if len(body) > MAX_MESSAGE_BYTES:
        message = f"{len(body)} bytes; a command has at most {MAX_MESSAGE_BYTES}"
        raise CommandRejectedError(ErrorCode.TOO_LARGE, message)
    match = _JWS.fullmatch(body)
    if match is None and body[:1] == b"{":
        raise CommandRejectedError(ErrorCode.UNSIGNED, "the body is not signed; a command is a JWS in compact form")
    if match is None:
        raise CommandRejectedError(ErrorCode.MALFORMED, "the body is not a JWS in compact form")
    if not match[3]:
        raise CommandRejectedError(ErrorCode.UNSIGNED, "the signature is empty")
    return match[2]


def _as_stored(claims: CommandClaims) -> CommandClaims:
    """The claims as the ledger would give them back.

    Parameters hold any JSON; what Python parses but nobody can write or read again (a lone surrogate, hundreds of
    brackets in one another) must not get as far as the ledger.

    Raises:
        ValueError: they cannot be written or read.
    """
    text = canonical_json(claims.to_object())
    return CommandClaims.from_json(text, max_bytes=len(text))


def _clean(error: ValueError) -> str:
    return str(error).encode("utf-8", "replace").decode()[:300]


def _claimed_names(body: bytes) -> tuple[str, str]:
    """Id and name that an untrusted body claims to have, where they have the shape of one."""
    if len(body) > MAX_MESSAGE_BYTES:
        return UNKNOWN, UNKNOWN
    match = _JWS.fullmatch(body)
    text = body if match is None else match[2]
    try:
        claimed = json.loads(text if match is None else base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4)))
    except (ValueError, RecursionError):
        return UNKNOWN, UNKNOWN
    return _names_of(claimed)


def _names_of(claimed: object) -> tuple[str, str]:
    if not isinstance(claimed, dict):
        return UNKNOWN, UNKNOWN
    command_id, command = claimed.get("jti"), claimed.get("cmd")
    is_id = isinstance(command_id, str) and re.fullmatch(UUID_PATTERN, command_id) is not None
    is_name = isinstance(command, str) and len(command) <= 60 and _COMMAND_NAME.fullmatch(command) is not None
    return (str(command_id) if is_id else UNKNOWN), (str(command) if is_name else UNKNOWN)
