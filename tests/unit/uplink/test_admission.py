"""Which body gets which verdict, in the order of the checks."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from joserfc import jws

from edge_agent.clock import FakeClock
from edge_agent.contract.commands import DURABLE, CommandClaims
from edge_agent.contract.ids import make_uuid7
from edge_agent.contract.jws import ALGORITHM, MEDIA_TYPES, SigningKey, TrustedKeys
from edge_agent.contract.model import canonical_json
from edge_agent.errors import CommandRejectedError
from edge_agent.settings import UploadSettings
from edge_agent.uplink.admission import UNKNOWN, Admission, Admitted, Refused, Repeated
from edge_agent.uplink.checks import UnitFacts
from edge_agent.uplink.database import LinkDatabase
from edge_agent.uplink.freshness import check_fresh
from edge_agent.uplink.ledger import Ledger, NewCommand, Step, fail
from edge_agent.uplink.newest import NewestIat
from edge_agent.uplink.stamps import ClockBelief
from edge_agent.uplink.states import State

KEY = SigningKey.generate()
UNIT = UnitFacts(
    "nomad-07",
    frozenset({"main"}),
    UploadSettings(url="https://ingest.example/files/", allowed_origins=("https://second.example:8443",)),
)


def claims_at(clock: FakeClock, **changes: object) -> dict[str, Any]:
    now_s = clock.wall_us() // 1_000_000
    claims: dict[str, Any] = {
        "iss": "csu",
        "aud": "nomad-07",
        "jti": make_uuid7(clock.wall_us()),
        "iat": now_s,
        "exp": now_s + 600,
        "sub": "a. moreau",
        "role": "operator",
        "cmd": "clip.request",
        "params": {"camera": "main", "from": "2026-09-01T00:00:00Z", "to": "2026-09-01T00:10:00Z"},
        "reference": "PV 1",
        "purpose": "requisition",
    }
    return {name: value for name, value in (claims | changes).items() if value is not None}


def signed(claims: dict[str, Any]) -> bytes:
    return KEY.sign("command", claims).encode()


def signed_text(payload: str) -> bytes:
    head = {"alg": ALGORITHM, "kid": KEY.key_id, "typ": MEDIA_TYPES["command"]}
    return jws.serialize_compact(head, payload.encode(), KEY.key, algorithms=[ALGORITHM]).encode()


@pytest.fixture
async def admission(ledger: Ledger, clock: FakeClock, database: LinkDatabase) -> Admission:
    keys = TrustedKeys.from_jwks(KEY.public_jwk())
    return Admission(UNIT, keys, ledger, clock, ClockBelief(), await NewestIat.load(database))


async def refused(admission: Admission, body: bytes) -> Refused:
    verdict = await admission.judge(body)
    assert isinstance(verdict, Refused), verdict
    return verdict


async def test_a_good_command_is_admitted(admission: Admission, clock: FakeClock) -> None:
    verdict = await admission.judge(signed(claims_at(clock)))
    assert isinstance(verdict, Admitted)
    assert verdict.durable
    now_s = clock.wall_us() // 1_000_000
    check = await admission.judge(signed(claims_at(clock, cmd="unit.check", params={}, exp=now_s + 20)))
    assert isinstance(check, Admitted)
    assert not check.durable


@pytest.mark.parametrize(
    ("changes", "code", "stored"),
    [
        ({"aud": "nomad-08"}, "wrong-unit", False),
        ({"cmd": "unit.explode"}, "unknown-command", False),
        ({"role": "technician"}, "not-authorised", True),
        ({"exp": 1}, "parameters-invalid", True),
        ({"exp": 4_000_000_000}, "parameters-invalid", True),
        ({"params": {}}, "parameters-invalid", True),
        ({"reference": None}, "parameters-invalid", True),
        ({"purpose": None}, "parameters-invalid", True),
        ({"params": {"camera": "attic", "from": "2026-09-01T00:00:00Z", "to": "2026-09-01T00:10:00Z"}},
         "unknown-camera", True),
        ({"params": {"camera": "main", "from": "2026-09-01T00:10:00Z", "to": "2026-09-01T00:10:00Z"}},
         "interval-invalid", True),
        ({"params": {"camera": "main", "from": "2026-09-01T00:00:00Z", "to": "2026-09-03T00:00:00Z"}},
         "interval-invalid", True),
        ({"params": {"camera": "main", "from": "2026-09-01T00:00:00Z", "to": "2026-09-01T00:10:00Z",
                     "upload": "https://ingest.example.evil/files/"}}, "origin-not-allowed", True),
        ({"params": {"camera": "main", "from": "2026-09-01T00:00:00Z", "to": "2026-09-01T00:10:00Z",
                     "upload": "http://ingest.example/files/"}}, "origin-not-allowed", True),
        ({"params": {"camera": "main", "from": 10**25, "to": 10**25 + 1}}, "parameters-invalid", True),
        ({"params": {"camera": "main", "from": 1_790_000_000_000_000, "to": "2026-09-01T00:10:00Z"}},
         "parameters-invalid", True),
        ({"cmd": "coverage.query", "params": {"camera": "main", "from": 10**25, "to": 10**25 + 1}},
         "parameters-invalid", True),
        ({"cmd": "coverage.query", "params": {"camera": "main", "from": "10000-01-01T00:00:00Z", "to": ""}},
         "parameters-invalid", True),
        ({"cmd": "clip.list", "params": {"offset": 10**30}}, "parameters-invalid", True),
        ({"cmd": "unit.check", "params": {}}, "parameters-invalid", False),
    ],
)  # fmt: skip
async def test_a_signed_command_is_refused_with_its_code(
    admission: Admission, clock: FakeClock, changes: dict[str, Any], code: str, stored: bool
) -> None:
    claims = claims_at(clock, **changes)
    verdict = await refused(admission, signed(claims))
    assert (verdict.code, verdict.command_id, verdict.is_signed) == (code, claims["jti"], True)
    assert (verdict.body_sha256 is not None) is stored


async def test_bodies_that_nobody_signed(admission: Admission, clock: FakeClock, ledger: Ledger) -> None:
    claims = claims_at(clock)
    stranger = SigningKey.generate()
    head, payload, _ = signed(claims).split(b".")
    bodies = {
        b"": "malformed",
        b"\xff\xfe": "malformed",
        b"a.b": "malformed",
        b"x" * 16_001: "too-large",
        json.dumps(claims).encode(): "unsigned",
        head + b"." + payload + b".": "unsigned",
        stranger.sign("command", claims).encode(): "signature-invalid",
        KEY.sign("receipt", claims).encode(): "signature-invalid",
        head + b"." + payload + b".AAAA": "signature-invalid",
        KEY.sign("command", {"jti": claims["jti"]}).encode(): "malformed",
    }
    for body, code in bodies.items():
        verdict = await refused(admission, body)
        assert (verdict.code, verdict.is_signed) == (code, False), body[:40]
    spoofed = stranger.sign("command", claims).encode()
    assert (await refused(admission, spoofed)).command_id == claims["jti"]
    await ledger.store(NewCommand(CommandClaims.from_object(claims), "0" * 64))
    assert (await refused(admission, spoofed)).command_id == UNKNOWN


@hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.one_of(st.binary(max_size=200), st.from_regex(rb"[A-Za-z0-9_-]{1,30}(\.[A-Za-z0-9_-]{0,40}){2}")))
async def test_garbage_is_refused(admission: Admission, body: bytes) -> None:
    assert not (await refused(admission, body)).is_signed


async def test_the_same_body_is_a_repetition_however_late(
    admission: Admission, clock: FakeClock, ledger: Ledger
) -> None:
    body = signed(claims := claims_at(clock))
    first = await admission.judge(body)
    assert isinstance(first, Admitted)
    await ledger.store(NewCommand(first.claims, first.body_sha256))
    clock.advance(3600)
    assert isinstance(await admission.judge(body), Repeated)
    other = await refused(admission, signed(claims | {"sub": "b. petit"}))
    assert (other.code, other.body_sha256) == ("id-reused", None)
    late = await refused(admission, signed(claims | {"jti": make_uuid7(1)}))
    assert (late.code, late.body_sha256) == ("expired", None)


def fresh(iat_s: int, now_s: int, belief: ClockBelief, newest_iat_s: int = 0) -> str | None:
    """The code of a command that lives ten minutes; None when it is fresh."""
    claims = CommandClaims.from_object(claims_at(FakeClock(), iat=iat_s, exp=iat_s + 600))
    try:
        check_fresh(claims, now_s * 1_000_000, belief, newest_iat_s, ephemeral=False)
    except CommandRejectedError as error:
        return error.code
    return None


NOW_S = 1_790_000_000


@pytest.mark.parametrize(
    ("iat_offset_s", "belief", "expected"),
    [
        (0, ClockBelief("chrony", 5_000), None),
        (29, ClockBelief("chrony", 0), None),
        (40, ClockBelief("chrony", 0), "not-yet-valid"),
        (40, ClockBelief("chrony", 20_000_000), None),
        (-599, ClockBelief("chrony", 0), None),
        (-601, ClockBelief("chrony", 0), "expired"),
        (-601, ClockBelief("chrony", 20_000_000), None),
        (0, ClockBelief(), None),
        (200, ClockBelief(), None),
        (400, ClockBelief(), "clock-unknown"),
        (-601, ClockBelief(), "expired"),
    ],
)
def test_freshness(iat_offset_s: int, belief: ClockBelief, expected: str | None) -> None:
    assert fresh(NOW_S + iat_offset_s, NOW_S, belief) == expected


def test_a_clock_that_fell_back_revives_no_old_command() -> None:
    old_s = NOW_S - 86_400
    assert fresh(old_s, old_s, ClockBelief(), newest_iat_s=NOW_S) == "clock-unknown"
    assert fresh(3600, 3600, ClockBelief()) == "clock-unknown"


async def test_the_newest_iat_survives_a_restart(
    admission: Admission, clock: FakeClock, database: LinkDatabase
) -> None:
    await admission.judge(signed(claims_at(clock)))
    assert (await NewestIat.load(database)).iat_s == clock.wall_us() // 1_000_000


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(r'{"x":"\ud800"}', id="a lone surrogate"),
        pytest.param('{"x":' + "[" * 240 + "]" * 240 + "}", id="nested too deeply to be read again"),
        pytest.param('{"x":' + "[" * 400 + "]" * 400 + "}", id="nested too deeply to be written"),
    ],
)
async def test_signed_parameters_that_cannot_be_stored_are_malformed(
    admission: Admission, clock: FakeClock, text: str
) -> None:
    payload = json.dumps(claims_at(clock, cmd="clip.list", params={})).replace('"params": {}', f'"params": {text}')
    verdict = await admission.judge(signed_text(payload))
    assert isinstance(verdict, Refused)
    assert verdict.code == "malformed"


@pytest.mark.parametrize("name", ["iat", "exp"])
@pytest.mark.parametrize("seconds", [-1, 10**30])
async def test_an_instant_that_no_table_holds_is_malformed(
    admission: Admission, clock: FakeClock, name: str, seconds: int
) -> None:
    verdict = await admission.judge(signed(claims_at(clock, cmd="clip.list", params={}, **{name: seconds})))
    assert isinstance(verdict, Refused)
    assert verdict.code == "malformed"


ODD_VALUES = st.one_of(
    st.sampled_from(["1" + "0" * 5000, "-1", "1e400", "NaN", "Infinity", "0.5", "true", "null", '""', "[]", "{}"]),
    st.sampled_from(
        [r'"\ud800"', '"\\u0000"', '"' + "x" * 3000 + '"', "[" * 300 + "]" * 300, '{"x":' * 300 + "1" + "}" * 300]
    ),
    st.integers().map(str),
    st.text(max_size=20).map(json.dumps),
)
VALID: dict[str, dict[str, Any]] = {
    "clip.request": {
        "camera": "main",
        "from": "2026-09-01T00:00:00Z",
        "to": "2026-09-01T00:10:00Z",
        "priority": "urgent",
        "upload": "https://ingest.example/files/",
    },
    "clip.cancel": {"clip_id": "0197a1b2-0000-7000-8000-000000000001"},
    "clip.list": {"offset": 3, "limit": 5},
    "command.query": {"command_id": "0197a1b2-0000-7000-8000-000000000001"},
    "coverage.query": {"camera": "main", "from": "2026-09-01T00:00:00Z", "to": "2026-09-02T00:00:00Z", "cursor": "c"},
}
ANSWERS = {
    "malformed", "signature-invalid", "wrong-unit", "unknown-command", "not-authorised", "not-yet-valid", "expired",
    "clock-unknown", "parameters-invalid", "unknown-camera", "interval-invalid", "origin-not-allowed",
}  # fmt: skip


@hypothesis_settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cmd=st.sampled_from(sorted(VALID)), data=st.data(), value=ODD_VALUES)
async def test_one_odd_field_of_a_good_command_is_refused_or_can_be_stored(
    admission: Admission, ledger: Ledger, clock: FakeClock, cmd: str, data: st.DataObject, value: str
) -> None:
    claims = claims_at(clock, cmd=cmd, params=dict(VALID[cmd]))
    place = data.draw(
        st.sampled_from([(claims, name) for name in claims] + [(claims["params"], n) for n in VALID[cmd]])
    )
    place[0][place[1]] = "the odd one"
    verdict = await admission.judge(signed_text(json.dumps(claims).replace('"the odd one"', value)))
    if isinstance(verdict, Refused):
        assert verdict.code in ANSWERS
        verdict.message.encode()
        if verdict.claims is not None and verdict.body_sha256 is not None:
            await ledger.store(
                NewCommand(verdict.claims, verdict.body_sha256), fail(verdict.code, verdict.message, State.REJECTED)
            )
    elif isinstance(verdict, Admitted) and verdict.durable:
        await ledger.store(NewCommand(verdict.claims, verdict.body_sha256), Step(State.DONE, result={}))
        assert isinstance(verdict.parameters, DURABLE[cmd])
        canonical_json(verdict.parameters.to_object())


@pytest.mark.parametrize("command", ["a" * 61 + "\ud800", "a" * 61, "a" * 60 + "\x1b[31m", "clip.list\n"])
async def test_an_unsigned_name_that_is_none_is_not_repeated(admission: Admission, command: str) -> None:
    verdict = await admission.judge(json.dumps({"jti": "nobody", "cmd": command}).encode())
    assert isinstance(verdict, Refused)
    assert verdict.command == UNKNOWN
