import pytest

from edge_agent.contract.clip import ClockStatement, Gap
from edge_agent.contract.fragment_digests import FragmentDigests
from edge_agent.contract.jws import SigningKey, TrustedKeys
from edge_agent.contract.manifest import MAX_MANIFEST_BYTES, manifest_bound_bytes, read_manifest
from edge_agent.errors import ContractError, SignatureError
from edge_agent.evidence.manifest import build_manifest, sign_manifest
from tests.builders import WALL_US
from tests.support.clips import REQUESTER, make_part, make_plan

KEY = SigningKey.generate()
TRUSTED = TrustedKeys.from_jwks(KEY.public_jwk())
PARTS = (
    make_part(b"head", [("a.mp4", 0, 9)], 1, ClockStatement(source="chrony", bound_us=4_000)),
    make_part(b"head", [("b.mp4", 0, 9)], 2, ClockStatement(source="kernel", bound_us=90_000)),
)
DIGESTS = ["1" * 64, "2" * 64]


def test_a_signed_manifest_says_what_the_plan_says_without_the_units_files() -> None:
    manifest = read_manifest(sign_manifest(build_manifest(make_plan(PARTS), DIGESTS), KEY), TRUSTED)
    assert [part.sha256 for part in manifest.parts] == DIGESTS
    assert [part.length_bytes for part in manifest.parts] == [13, 13]
    assert manifest.delivered == make_plan(PARTS).delivered
    assert "ranges" not in manifest.parts[0].to_object()


def test_the_weakest_clock_speaks_for_the_clip() -> None:
    manifest = build_manifest(make_plan(PARTS), DIGESTS)
    assert (manifest.clock_source, manifest.clock_bound_us) == ("kernel", 90_000)


def test_one_unknown_bound_makes_the_clips_bound_unknown() -> None:
    parts = (PARTS[0], make_part(b"", [("b.mp4", 0, 9)], 2, ClockStatement(source="unknown", bound_us=None)))
    manifest = build_manifest(make_plan(parts), DIGESTS)
    assert (manifest.clock_source, manifest.clock_bound_us) == ("unknown", None)


def test_a_reserved_plan_has_no_manifest() -> None:
    with pytest.raises(ContractError, match="reserved plan"):
        build_manifest(make_plan(()), [])


def test_digests_are_one_a_part() -> None:
    with pytest.raises(ContractError, match="1 digests for 2 parts"):
        build_manifest(make_plan(PARTS), DIGESTS[:1])


def test_another_key_and_another_kind_of_document_are_refused() -> None:
    manifest = build_manifest(make_plan(PARTS), DIGESTS)
    with pytest.raises(SignatureError):
        read_manifest(sign_manifest(manifest, SigningKey.generate()), TRUSTED)
    with pytest.raises(SignatureError, match="not a manifest"):
        read_manifest(KEY.sign("receipt", manifest.to_object()), TRUSTED)


def test_a_signed_document_of_another_shape_is_a_contract_error() -> None:
    with pytest.raises(ContractError, match="Manifest: clip_id"):
        read_manifest(KEY.sign("manifest", {"schema": "manifest/1"}), TRUSTED)


def test_the_manifest_of_a_day_is_read() -> None:
    """Libraries limit what they read to less."""
    rows = [(1 + second // 60, second % 60, second, 500_000, bytes([second % 256]) * 32) for second in range(86_400)]
    part = make_part(b"", [("a.mp4", 0, 9)]).model_copy(update={"fragments": FragmentDigests.of_rows(rows)})
    token = sign_manifest(build_manifest(make_plan((part,)), DIGESTS[:1]), KEY)
    assert 1_000_000 < len(token) <= manifest_bound_bytes(86_400, parts=1, gaps=0) <= MAX_MANIFEST_BYTES
    assert len(read_manifest(token, TRUSTED).parts[0].fragments) == 86_400


def test_a_manifest_of_many_parts_and_gaps_is_no_larger_than_reckoned() -> None:
    long = "é" * 60
    parts = tuple(
        make_part(b"head", [("a.mp4", 0, 1 << 40)], number).model_copy(
            update={"deployment_id": "d" * 60, "file_name": f"{'u' * 60}_{number}.mp4", "warnings": ("w" * 40,) * 2}
        )
        for number in range(1, 400)
    )
    gap = Gap(start_us=WALL_US, end_us=WALL_US + 9_000_000, cause="storage-error")
    requester = REQUESTER.model_copy(update={"operator": long, "role": long, "reference": long, "purpose": long})
    plan = make_plan(parts).model_copy(update={"gaps": (gap,) * 400, "requester": requester})
    token = sign_manifest(build_manifest(plan, ["a" * 64] * 399), KEY)
    assert len(token) <= manifest_bound_bytes(399, parts=399, gaps=400)


def test_a_token_that_is_too_long_is_refused() -> None:
    token = KEY.sign("command", {"text": "x" * 120_000})
    with pytest.raises(SignatureError, match="exceeds"):
        TRUSTED.verify("command", token)
