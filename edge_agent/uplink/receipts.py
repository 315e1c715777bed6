"""`down/receipt`: the centre's signed verdict on a delivered clip; stored before it is acknowledged."""

from edge_agent.contract.event_names import EventName
from edge_agent.contract.jws import TrustedKeys
from edge_agent.contract.messages import Receipt
from edge_agent.contract.model import MAX_MESSAGE_BYTES
from edge_agent.errors import ContractError, SignatureError
from edge_agent.limiter import RateLimiter
from edge_agent.uplink.clips import ClipDriver
from edge_agent.uplink.events import Events
from edge_agent.uplink.ledger import Ledger
from edge_agent.uplink.wire import Inbound


class Receipts:
    """Handles receipts (`receiver.MessageHandler`); wrong ones are ignored, and that is said."""

    def __init__(
        self,
        unit_id: str,
        keys: TrustedKeys,
        ledger: Ledger,
        clips: ClipDriver,
        events: Events,
        limiter: RateLimiter,
    ) -> None:
        self._unit_id = unit_id
        self._keys = keys
        self._ledger = ledger
        self._clips = clips
        self._events = events
        self._limiter = limiter

    async def handle(self, message: Inbound) -> None:
        """See `MessageHandler.handle`."""
        try:
            receipt = self._read(message.payload)
        except ContractError as error:
            await self._refuse(str(error), None)
            return
        problem = await self._problem(receipt)
        if problem is not None:
            await self._refuse(problem, receipt.clip_id)
            return
        await self._ledger.store_receipt(receipt)
        self._clips.wake(receipt.clip_id)

    def _read(self, body: bytes) -> Receipt:
        if len(body) > MAX_MESSAGE_BYTES:
            raise ContractError(f"receipt of {len(body)} bytes; at most {MAX_MESSAGE_BYTES} are read")
        try:
            text = body.decode("ascii")
        except UnicodeDecodeError as error:
            raise SignatureError("a receipt is a JWS in compact form") from error
        receipt = Receipt.from_object(self._keys.verify("receipt", text))
        if receipt.aud != self._unit_id:
            raise ContractError(f"the receipt is for {receipt.aud}")
        return receipt

    async def _problem(self, receipt: Receipt) -> str | None:
        entry = await self._ledger.find(receipt.clip_id)
        if entry is None or entry.claims.cmd != "clip.request":
            return "the unit knows no such clip"
        sent = entry.facts.manifest_sha256
        if sent is not None and sent != receipt.sha256:
            return f"its sha256 is not that of the manifest that was sent, {sent}"
        return None

    async def _refuse(self, reason: str, clip_id: str | None) -> None:
        left_out = self._limiter.take()
        if left_out is None:
            return
        details: dict[str, object] = {"reason": reason[:300], "left_out": left_out}
        if clip_id is not None:
            details["clip_id"] = clip_id
        await self._events.occurred(EventName.RECEIPT_REFUSED, details)
