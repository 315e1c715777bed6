"""Is a command fresh? `iat` and `exp` against a clock that may be wrong, and says so.

With a known clock source the comparison allows for the clock's bound and `TOLERANCE_S` for the centre's own clock.

With an unknown source (a bench without NTP, the first minutes after a cold boot of a board without a clock) the wall
clock is used all the same, except where it is provably behind: before the software was written, before the newest
`iat` that this unit ever accepted, or before the command's own `iat` by more than `UNKNOWN_TOLERANCE_S` (the centre
signed it, so that instant has passed). Such a command is answered `clock-unknown`, which a retry mends; an old
command can thus not come to life again because a clock fell back.
"""

from edge_agent.contract.codes import ErrorCode
from edge_agent.contract.commands import MAX_EPHEMERAL_S, MAX_LIFETIME_S, CommandClaims
from edge_agent.contract.times import parse_utc
from edge_agent.errors import CommandRejectedError
from edge_agent.uplink.stamps import ClockBelief

TOLERANCE_S = 30
UNKNOWN_TOLERANCE_S = 300
SOFTWARE_WRITTEN_S = parse_utc("2026-01-01T00:00:00Z") // 1_000_000
"""No clock that is right shows an earlier time."""


def check_fresh(claims: CommandClaims, now_us: int, belief: ClockBelief, newest_iat_s: int, ephemeral: bool) -> None:
    """Check lifetime, `iat` and `exp` of a command.

    Args:
        claims: of the command.
        now_us: the wall clock.
        belief: who vouches for it.
        newest_iat_s: the newest `iat` accepted so far, 0 when there was none.
        ephemeral: whether the command may live for seconds only.

    Raises:
        CommandRejectedError: parameters-invalid, clock-unknown, not-yet-valid or expired.
    """
    _check_lifetime(claims, MAX_EPHEMERAL_S if ephemeral else MAX_LIFETIME_S)
    now_s = now_us / 1e6
    if belief.source == "unknown":
        _check_not_behind(claims, now_s, newest_iat_s)
    elif claims.iat > now_s + (belief.bound_us or 0) / 1e6 + TOLERANCE_S:
        raise CommandRejectedError(ErrorCode.NOT_YET_VALID, f"iat is {claims.iat - now_s:.0f} s in the future")
    if now_s - (belief.bound_us or 0) / 1e6 >= claims.exp:
        raise CommandRejectedError(ErrorCode.EXPIRED, f"exp was {now_s - claims.exp:.0f} s ago")


def _check_lifetime(claims: CommandClaims, longest_s: int) -> None:
    if not 0 < claims.exp - claims.iat <= longest_s:
        message = f"exp must be after iat, by at most {longest_s} s; it is {claims.exp - claims.iat} s after it"
        raise CommandRejectedError(ErrorCode.PARAMETERS_INVALID, message)


def _check_not_behind(claims: CommandClaims, now_s: float, newest_iat_s: int) -> None:
    if now_s < SOFTWARE_WRITTEN_S or now_s + UNKNOWN_TOLERANCE_S < max(claims.iat, newest_iat_s):
        message = "the unit's clock is behind and nobody vouches for it; send the command again once it is set"
        raise CommandRejectedError(ErrorCode.CLOCK_UNKNOWN, message)
