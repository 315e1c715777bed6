"""Who sends a request to the ingest: the bearer token of `edge_agent.contract.upload`, checked before any body."""

import base64
import binascii
import json
from collections.abc import Awaitable, Callable
from collections.abc import Set as AbstractSet

from csu.errors import ContractError, SignatureError, UploadRefusedError
from edge_agent.clock import Clock
from edge_agent.contract.jws import TrustedKeys
from edge_agent.contract.upload import CLOCK_LEEWAY_S, MAX_TOKEN_LIFETIME_S, UploadClaims

KeyLookup = Callable[[str], Awaitable[TrustedKeys | None]]
"""The keys of an enrolled unit by its id; None for a unit that is not enrolled."""

_MAX_TOKEN_CHARACTERS = 4096


class Authoriser:
    """Tells which enrolled unit signed a request's token.

    `origins` are the spellings of this ingest that a token may be for; the set is looked at on every request, so an
    origin that is known only after a port was bound can be added to it.
    """

    def __init__(self, keys: KeyLookup, origins: AbstractSet[str], clock: Clock) -> None:
        self._keys = keys
        self._origins = origins
        self._clock = clock

    async def unit_of(self, header: str | None) -> str:
        """The unit that signed the token of an `Authorization` header.

        Raises:
            UploadRefusedError: 401, with the reason.
        """
        token = _bearer_token(header)
        unit_id = _claimed_issuer(token)
        keys = await self._keys(unit_id)
        if keys is None:
            raise UploadRefusedError(401, f"unit {unit_id!r:.60} is not enrolled here")
        try:
            claims = UploadClaims.from_object(keys.verify("upload", token))
        except (SignatureError, ContractError) as error:
            raise UploadRefusedError(401, f"upload token: {error}"[:300]) from error
        self._check(claims, unit_id)
        return unit_id

    def _check(self, claims: UploadClaims, unit_id: str) -> None:
        now_s = self._clock.wall_us() // 1_000_000
        if claims.iss != unit_id:
            raise UploadRefusedError(401, "upload token: the issuer is not the unit whose key signed it")
        if claims.aud not in self._origins:
            raise UploadRefusedError(401, f"upload token: it is for {claims.aud!r:.100}, not for this ingest")
        if not 0 < claims.exp - claims.iat <= MAX_TOKEN_LIFETIME_S:
            raise UploadRefusedError(
                401, f"upload token: it lives longer than {MAX_TOKEN_LIFETIME_S} s, or not at all"
            )
        if claims.iat > now_s + CLOCK_LEEWAY_S:
            raise UploadRefusedError(401, "upload token: issued in the future; the unit's clock is ahead")
        if claims.exp < now_s - CLOCK_LEEWAY_S:
            raise UploadRefusedError(401, "upload token: expired, or the unit's clock is behind")


def _bearer_token(header: str | None) -> str:
    scheme, _, token = (header or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise UploadRefusedError(401, "an upload needs `Authorization: Bearer` with a token signed by the unit")
    if len(token) > _MAX_TOKEN_CHARACTERS:
        raise UploadRefusedError(401, f"upload token: over {_MAX_TOKEN_CHARACTERS} characters")
    return token.strip()


def _claimed_issuer(token: str) -> str:
    """The `iss` of a token whose signature is not checked yet: it only selects the keys that check it."""
    pieces = token.split(".")
    try:
        payload = json.loads(base64.urlsafe_b64decode(pieces[1] + "=" * (-len(pieces[1]) % 4)))
        unit_id = payload["iss"]
    except (IndexError, KeyError, TypeError, ValueError, binascii.Error, RecursionError) as error:
        raise UploadRefusedError(401, "upload token: not a JWS with an issuer") from error
    if not isinstance(unit_id, str) or len(unit_id) > 60:
        raise UploadRefusedError(401, "upload token: the issuer is not a unit id")
    return unit_id
