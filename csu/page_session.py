"""The page's session: a ticket that is good once, then a cookie; both come of the API's token and do not hold it.

A ticket stands in an address (`/sign-in?token=…`), where histories and process lists keep it: so it is none of the
API's token but an authentication code (HMAC-SHA-256, RFC 2104) made with it, which holds for ten minutes and for one
sign-in. The cookie's value is made the same way, so that a restart of the service signs nobody out; another token in
`api.token` signs everybody out.
"""

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode

from csu.errors import RequestRefusedError
from edge_agent.clock import Clock

TICKET_LIFETIME_S = 600
SESSION_LIFETIME_S = 30 * 24 * 3600
"""A screen on a wall is not signed in every morning."""

_MAX_CHARACTERS = 200
_MAX_USED = 1_000
"""Used tickets that are remembered; who has the token alone makes them. Not by their age: a clock may step back."""


def make_ticket(token: str, now_us: int) -> str:
    """What `/sign-in?token=` takes, once."""
    return _make("ticket", token, now_us, TICKET_LIFETIME_S)


class Sessions:
    """Gives cookies for tickets and knows its cookies again."""

    def __init__(self, token: str, clock: Clock) -> None:
        self._token = token
        self._clock = clock
        self._used: dict[str, None] = {}

    def redeem(self, ticket: str) -> str:
        """The cookie's value for a ticket.

        Raises:
            RequestRefusedError: it is not of this service, over, or was used.
        """
        now_us = self._clock.wall_us()
        if not _holds("ticket", self._token, ticket, now_us) or ticket in self._used:
            raise RequestRefusedError(
                "ticket-invalid", "this address was used or is too old; ask for a new one with: csu page", 403
            )
        self._used[ticket] = None
        while len(self._used) > _MAX_USED:
            del self._used[next(iter(self._used))]
        return _make("session", self._token, now_us, SESSION_LIFETIME_S)

    def holds(self, value: str) -> bool:
        """Whether a cookie's value is one of this service's, and still good."""
        return _holds("session", self._token, value, self._clock.wall_us())


def _make(kind: str, token: str, now_us: int, lifetime_s: int) -> str:
    claim = f"{now_us // 1_000_000 + lifetime_s}.{secrets.token_urlsafe(16)}"
    return f"{claim}.{_code(kind, token, claim)}"


def _holds(kind: str, token: str, value: str, now_us: int) -> bool:
    claim, _, code = value.rpartition(".")
    if len(value) > _MAX_CHARACTERS or not value.isascii():
        return False
    if not hmac.compare_digest(code, _code(kind, token, claim)):
        return False
    return int(claim.partition(".")[0]) * 1_000_000 > now_us


def _code(kind: str, token: str, claim: str) -> str:
    digest = hmac.digest(token.encode(), f"csu page {kind}: {claim}".encode(), hashlib.sha256)
    return urlsafe_b64encode(digest).rstrip(b"=").decode()
