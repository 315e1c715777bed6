"""The bearer token of an upload request: signed by the unit, for one origin, short-lived (contract/upload.py)."""

import uuid
from email.utils import parsedate_to_datetime

from edge_agent.clock import Clock
from edge_agent.contract.jws import SigningKey
from edge_agent.contract.upload import UploadClaims

LIFETIME_S = 120
_NOTICED_SKEW_S = 30


class UploadTokens:
    """Makes a fresh token a request.

    A board without a clock boots in the past, and an ingest refuses tokens of the past. When it does, the `Date` of
    its answer (RFC 9110 §6.6.1) says what it takes for now; tokens are dated by that until the next refusal.
    """

    def __init__(self, key: SigningKey, unit_id: str, clock: Clock) -> None:
        self._key = key
        self._unit_id = unit_id
        self._clock = clock
        self._skew_s = 0

    def authorization(self, origin: str) -> str:
        """The value of `Authorization` for a request to this origin."""
        now_s = self._clock.wall_us() // 1_000_000 + self._skew_s
        claims = UploadClaims(iss=self._unit_id, aud=origin, iat=now_s, exp=now_s + LIFETIME_S, jti=str(uuid.uuid4()))
        return f"Bearer {self._key.sign('upload', claims.to_object())}"

    def note_refusal(self, date: str | None) -> None:
        """Learn from the `Date` of an answer that refused a token; a missing or odd one teaches nothing."""
        if date is None:
            return
        try:
            server_s = parsedate_to_datetime(date).timestamp()
        except (ValueError, OverflowError):
            return
        skew_s = round(server_s - self._clock.wall_us() / 1e6)
        self._skew_s = skew_s if abs(skew_s) > _NOTICED_SKEW_S else 0
