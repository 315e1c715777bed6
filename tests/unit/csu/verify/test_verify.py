"""What the verifier says of whole, damaged, incomplete and invented clips."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from csu.verify import Verdict, verify_clip
from edge_agent.contract.boxes import find
from edge_agent.contract.clip import Manifest
from edge_agent.contract.jws import SigningKey, TrustedKeys
from edge_agent.contract.manifest import build_manifest, read_manifest, sign_manifest
from edge_agent.contract.segment_format import ClockSource
from tests.builders import CAPTURE_US, WALL_US, make_units, shifted
from tests.support.recording import LinearUtc, record, rotated
from tests.support.saved_clips import UNIT_KEY, UNIT_KEYS, SavedClip, asked_s, saved_clip


@pytest.fixture
def clip(tmp_path: Path) -> SavedClip:
    """5 s over three segments, begun inside a group of pictures."""
    segments = rotated(tmp_path, make_units(12, b_frames=2), 85)
    return saved_clip(tmp_path, segments, asked_s(3.1, 8), tmp_path / "out")


@pytest.fixture
def two_parts(tmp_path: Path) -> SavedClip:
    stream = make_units(3)
    later = shifted(stream, media_90k=6 * 90_000, capture_us=6_000_000)
    segments = [record(tmp_path, stream, 1), record(tmp_path, later, 2, opened_cause="camera-lost")]
    return saved_clip(tmp_path, segments, asked_s(1, 8), tmp_path / "out")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SavedClip:
    """Two segments, three fragments, as few bytes as can be."""
    ring = tmp_path_factory.mktemp("ring")
    segments = rotated(ring, make_units(1.5, fps=4, gop=2, width=32, height=32), 4)
    return saved_clip(ring, segments, asked_s(0.2, 1.4), ring / "out")


def messages(verdict: Verdict, severity: str = "error") -> list[str]:
    return [str(finding) for finding in verdict.findings if finding.severity == severity]


def resigned(clip: SavedClip, change: Callable[[dict[str, Any]], object], key: SigningKey = UNIT_KEY) -> None:
    """Change the manifest and sign it again, as a unit that lies would."""
    document = read_manifest(clip.manifest.read_text(), UNIT_KEYS).to_object()
    change(document)
    clip.manifest.write_text(key.sign("manifest", document))


def test_an_unaltered_clip_passes(clip: SavedClip) -> None:
    verdict = verify_clip(clip.folder, UNIT_KEYS)
    assert verdict.ok
    assert (verdict.signature, verdict.findings, verdict.reason) == ("valid", (), None)
    (report,) = verdict.parts
    assert (report.shown, report.decoded, report.fragments, report.duration_s) == (122, 122, 7, 4.88)
    assert verdict.unit_id == "nomad-07"
    assert verdict.summary["requester"]["reference"] == "PV 2026/118"
    assert json.loads(json.dumps(verdict.to_object()))["ok"] is True


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_open_and_long_lived_segments_pass_too(tmp_path: Path, codec: str) -> None:
    stream = make_units(7, codec="h264" if codec == "h264" else "hevc")
    segment = record(tmp_path, stream, closed=False)
    clip = saved_clip(tmp_path, [segment], asked_s(-3, 60), tmp_path / "out")
    assert verify_clip(clip.folder, UNIT_KEYS).findings == ()


def test_several_parts_pass_and_each_is_reported(two_parts: SavedClip) -> None:
    verdict = verify_clip(two_parts.folder, UNIT_KEYS)
    assert verdict.ok
    assert [(report.file_name, report.decoded) for report in verdict.parts] == [
        (part.file_name, part.samples) for part in two_parts.plan.parts
    ]


def test_without_keys_all_but_the_signature_is_checked(clip: SavedClip) -> None:
    verdict = verify_clip(clip.folder)
    assert verdict.ok
    assert verdict.signature == "not-checked"
    assert messages(verdict, "warning") == ["manifest.jws: no key was given: the signature was not checked"]


def test_another_units_key_is_not_trusted(clip: SavedClip) -> None:
    verdict = verify_clip(clip.folder, TrustedKeys.from_jwks(SigningKey.generate().public_jwk()))
    assert not verdict.ok
    assert verdict.signature == "invalid"
    assert verdict.parts[0].decoded == 122


def test_one_part_alone_is_verified_by_the_manifest_beside_it(two_parts: SavedClip) -> None:
    verdict = verify_clip(two_parts.parts[1], UNIT_KEYS)
    assert verdict.ok
    assert messages(verdict, "note") == [f"{two_parts.parts[1].name}: part 2 of 2; 1 not looked at"]


def test_a_file_saved_under_its_own_name_is_verified(tmp_path: Path) -> None:
    segments = rotated(tmp_path, make_units(4), 50)
    clip = saved_clip(tmp_path, segments, asked_s(1, 3), tmp_path / "evidence.mp4")
    assert verify_clip(clip.parts[0], UNIT_KEYS).findings == ()


def test_a_file_without_manifest_is_verified_as_far_as_it_goes(clip: SavedClip) -> None:
    clip.manifest.unlink()
    verdict = verify_clip(clip.parts[0], UNIT_KEYS)
    assert verdict.ok
    assert verdict.signature == "not-checked"
    assert verdict.parts[0].decoded == 122
    assert "origin and completeness were not checked" in messages(verdict, "warning")[0]
    data = bytearray(clip.parts[0].read_bytes())
    place = clip.plan.parts[0].fragments[4]
    data[place.offset + place.length_bytes // 2] ^= 1
    clip.parts[0].write_bytes(data)
    assert messages(verify_clip(clip.parts[0])) == [
        f"part 1, segment {place.sequence}, fragment {place.number}: fragment bytes do not match their SHA-256"
    ]


def test_a_folder_without_manifest_fails(clip: SavedClip) -> None:
    clip.manifest.unlink()
    assert messages(verify_clip(clip.folder, UNIT_KEYS))[0].startswith("manifest.jws: missing")


def test_nothing_there_fails(tmp_path: Path) -> None:
    assert not verify_clip(tmp_path / "nothing", UNIT_KEYS).ok


def test_a_missing_part_is_named(two_parts: SavedClip) -> None:
    two_parts.parts[1].unlink()
    (message,) = messages(verify_clip(two_parts.folder, UNIT_KEYS))
    assert message.startswith("part 2: ")
    assert "No such file" in message


@pytest.mark.parametrize("keep", [0, 7, 100, 3_000, -1])
def test_a_truncated_part_is_named(clip: SavedClip, keep: int) -> None:
    size = clip.parts[0].stat().st_size
    os.truncate(clip.parts[0], keep if keep >= 0 else size + keep)
    assert messages(verify_clip(clip.folder, UNIT_KEYS))[0].startswith("part 1")


def test_bytes_behind_the_end_are_found(clip: SavedClip) -> None:
    with clip.parts[0].open("ab") as file:
        file.write(b"\0" * 8)
    assert "the manifest says" in messages(verify_clip(clip.folder, UNIT_KEYS))[0]


def test_one_wrong_byte_is_named_by_segment_and_fragment(clip: SavedClip) -> None:
    place = clip.plan.parts[0].fragments[3]
    data = bytearray(clip.parts[0].read_bytes())
    for inside in (4, 60, place.length_bytes // 2, place.length_bytes - 160, place.length_bytes - 1):
        changed = data.copy()
        changed[place.offset + inside] ^= 0x80
        clip.parts[0].write_bytes(changed)
        found = messages(verify_clip(clip.folder, UNIT_KEYS))
        assert any(f"segment {place.sequence}, fragment {place.number}:" in message for message in found), found


def place_of(clip: SavedClip, offset: int) -> str:
    """A pattern for the place that a changed byte is reported at."""
    part = clip.plan.parts[0]
    if offset < part.header_bytes:
        return "part 1, header of the file"
    for one in part.fragments:
        if one.offset <= offset < one.offset + one.length_bytes:
            return f"part 1, segment {one.sequence}, fragment {one.number}:"
    behind = next(one for one in part.fragments if one.offset > offset)
    return (
        f"part 1, header of (segment {behind.sequence}|its first segment)|part 1, after segment {behind.sequence - 1}"
    )


@pytest.mark.slow
def test_every_single_wrong_byte_of_a_part_is_found_and_named(small: SavedClip, tmp_path: Path) -> None:
    data = bytearray(small.parts[0].read_bytes())
    path = tmp_path / small.parts[0].name
    (tmp_path / small.manifest.name).write_bytes(small.manifest.read_bytes())
    for offset in range(len(data)):
        data[offset] ^= 1 << offset % 8
        path.write_bytes(data)
        data[offset] ^= 1 << offset % 8
        found = messages(verify_clip(tmp_path, UNIT_KEYS, decode=False))
        assert any(re.match(place_of(small, offset), message) for message in found), (offset, found)


def test_every_single_wrong_byte_of_the_manifest_is_found(small: SavedClip, tmp_path: Path) -> None:
    data = bytearray(small.manifest.read_bytes())
    (tmp_path / small.parts[0].name).write_bytes(small.parts[0].read_bytes())
    for offset in range(len(data)):
        data[offset] ^= 1 << offset % 7
        (tmp_path / small.manifest.name).write_bytes(data)
        data[offset] ^= 1 << offset % 7
        verdict = verify_clip(tmp_path, UNIT_KEYS, decode=False)
        assert verdict.signature == "invalid", offset
        assert not verdict.ok


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_garbage_of_any_kind_is_a_verdict(small: SavedClip, tmp_path: Path, data: st.DataObject) -> None:
    """Spliced, filled, doubled or cut in any way: a failed verdict, with and without manifest, decoding on."""
    whole = small.parts[0].read_bytes()
    start = data.draw(st.integers(0, len(whole) - 1))
    end = data.draw(st.integers(start + 1, len(whole)))
    filling = data.draw(st.one_of(st.binary(max_size=64), st.just(bytes(end - start)), st.just(whole[start:end] * 2)))
    changed = whole[:start] + filling + whole[end:]
    if changed == whole:
        return
    path = tmp_path / small.parts[0].name
    path.write_bytes(changed)
    (tmp_path / small.manifest.name).write_bytes(small.manifest.read_bytes())
    assert not verify_clip(tmp_path, UNIT_KEYS).ok
    (tmp_path / small.manifest.name).unlink()
    verify_clip(path)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(garbage=st.one_of(st.binary(max_size=300), st.text(max_size=300).map(str.encode)))
def test_garbage_for_a_manifest_is_a_verdict(small: SavedClip, tmp_path: Path, garbage: bytes) -> None:
    (tmp_path / "manifest.jws").write_bytes(garbage)
    assert not verify_clip(tmp_path, UNIT_KEYS).ok


LIES: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda document: document.update(unit_id="nomad-08"), "unit_id is 'nomad-07', the manifest says 'nomad-08'"),
    (lambda document: document.update(camera="side"), "camera is 'main', the manifest says 'side'"),
    (lambda document: document["parts"][0].update(deployment_id="elsewhere"), "deployment_id is 'bench'"),
    (lambda document: document["parts"][0].update(run_id="e" * 32), "run_id is"),
    (lambda document: document["parts"][0].update(samples=7), "samples is 125, the manifest says 7"),
    (lambda document: document["parts"][0].update(preroll_90k=9), "preroll_90k is 10800, the manifest says 9"),
    (lambda document: document["parts"][0].update(duration_90k=450_000), "duration_90k is 439200"),
    (lambda document: document["parts"][0].update(header_bytes=99), "header of the file"),
    (lambda document: document["parts"][0].update(file_name="../x.mp4"), "is no file name"),
    (lambda document: document["parts"][0].update(index=2), "not numbered from 1"),
    (
        lambda document: document["parts"][0]["fragments"].pop(),
        "segment 3, fragment 2: the manifest does not list it",
    ),
    (lambda document: document["parts"][0]["fragments"][1].update(sha256="0" * 64), "its digest or length is not"),
    (lambda document: document["parts"][0]["fragments"][1].update(number=77), "it says of itself"),
    (lambda document: document.update(parts=[]), "it lists no part"),
    (lambda document: document["delivered"].update(end_us="2026-09-21T14:13:40.000Z"), "delivered interval"),
    (lambda document: document["asked"].update(start_us="2026-09-21T14:10:00.000Z"), "no gap is listed"),
    (lambda document: document["asked"].update(start_us="2026-09-21T14:13:25.000Z"), "inside the asked one"),
    (lambda document: document["asked"].update(start_us=-(10**20)), "out of the calendar"),
    (lambda document: document["parts"][0]["interval"].update(end_us=10**20), "out of the calendar"),
    (lambda document: document.update(schema="manifest/9"), "Manifest: schema"),
    (lambda document: document.pop("clip_id"), "Manifest: clip_id"),
]


@pytest.mark.parametrize(("lie", "complaint"), LIES, ids=[complaint for _, complaint in LIES])
def test_a_signed_lie_is_found(clip: SavedClip, lie: Callable[[dict[str, Any]], object], complaint: str) -> None:
    resigned(clip, lie)
    verdict = verify_clip(clip.folder, UNIT_KEYS)
    assert any(complaint in message for message in messages(verdict)), messages(verdict)


def test_a_listed_gap_explains_a_hole(tmp_path: Path) -> None:
    clip = saved_clip(tmp_path, [record(tmp_path, make_units(3))], asked_s(-60, 60), tmp_path / "out")
    assert [gap.cause for gap in clip.plan.gaps] == ["start", "unknown"]
    assert verify_clip(clip.folder, UNIT_KEYS).ok


def retabled(clip: SavedClip, path: tuple[bytes, ...], at: int, value: int) -> list[str]:
    """Errors when four bytes of a table of the header are changed and the manifest vouches for it."""
    data = bytearray(clip.parts[0].read_bytes())
    box = find(bytes(data), path)
    data[box.body_offset + at : box.body_offset + at + 4] = value.to_bytes(4, "big")
    clip.parts[0].write_bytes(data)
    clip.manifest.unlink()
    return messages(verify_clip(clip.parts[0], decode=False))


STBL = (b"moov", b"trak", b"mdia", b"minf", b"stbl")


@pytest.mark.parametrize(
    ("path", "at", "value", "complaint"),
    [
        ((*STBL, b"stsz"), 12, 9_999_999, "point out of the payload"),
        ((*STBL, b"stsz"), 12, 5, "do not fill the payload"),
        ((*STBL, b"stsz"), 8, 4_000_000_000, "stsz of"),
        ((*STBL, b"stts"), 8, 3_601, "b'stts' speaks of"),
        ((*STBL, b"stts"), 12, 3_601, "contradict the time"),
        ((*STBL, b"ctts"), 12, 4, "contradict the time"),
        ((*STBL, b"co64"), 12, 0, "before the first fragment"),
        ((*STBL, b"co64"), 12, 0xFFFFFF, "point out of the payload"),
        ((*STBL, b"stsc"), 12, 0xFFFFFFFF, "stsc speaks of"),
        ((*STBL, b"stss"), 12, 3, "do not list the key frame"),
        ((*STBL, b"stss"), 8, 3, "stss does not list"),
        ((*STBL, b"stsd"), 40, 3, "codec parameters"),
        ((b"moov", b"trak", b"edts", b"elst"), 20, 17, "does not begin with a picture"),
        ((b"moov", b"trak", b"edts", b"elst"), 12, 17, "duration is not that of the edit list"),
        ((b"moov", b"trak", b"mdia", b"mdhd"), 20, 48_000, "expected 1, 90000"),
        ((b"moov", b"mvhd"), 20, 0, "expected 1, 90000"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_header_that_does_not_fit_the_fragments_is_found(
    clip: SavedClip, path: tuple[bytes, ...], at: int, value: int, complaint: str
) -> None:
    found = retabled(clip, path, at, value)
    assert any(complaint in message for message in found), found


def test_a_manifest_of_another_clip_does_not_fit(tmp_path: Path, clip: SavedClip) -> None:
    other = saved_clip(tmp_path, rotated(tmp_path, make_units(4), 50, 20), asked_s(1, 3), tmp_path / "other")
    clip.manifest.write_text(other.manifest.read_text())
    assert not verify_clip(clip.folder, UNIT_KEYS).ok


def test_a_receipt_is_no_manifest(clip: SavedClip) -> None:
    manifest = build_manifest(clip.plan, ["0" * 64])
    assert isinstance(manifest, Manifest)
    assert sign_manifest(manifest, UNIT_KEY).count(".") == 2
    clip.manifest.write_text(UNIT_KEY.sign("receipt", manifest.to_object()))
    assert verify_clip(clip.folder, UNIT_KEYS).signature == "invalid"


def test_damage_in_many_places_names_each(clip: SavedClip) -> None:
    data = bytearray(clip.parts[0].read_bytes())
    hit = clip.plan.parts[0].fragments[1::2]
    for one in hit:
        data[one.offset + 4] ^= 0xFF
    clip.parts[0].write_bytes(data)
    found = "\n".join(messages(verify_clip(clip.folder, UNIT_KEYS)))
    for one in clip.plan.parts[0].fragments:
        assert (f"segment {one.sequence}, fragment {one.number}:" in found) == (one in hit)


@pytest.mark.parametrize(
    ("source", "bound_us", "severity"), [("chrony", 5_000, "warning"), ("unknown", None, "note")]
)
def test_a_clock_that_was_corrected_since_is_told(
    tmp_path: Path, source: ClockSource, bound_us: int | None, severity: str
) -> None:
    """Recorded an hour late by a clock that somebody, or nobody, vouched for."""
    recorded = LinearUtc(WALL_US - CAPTURE_US - 3_600_000_000, bound_us, source)
    segment = record(tmp_path, make_units(3), utc=recorded)
    clip = saved_clip(tmp_path, [segment], asked_s(0.5, 2), tmp_path / "out")
    verdict = verify_clip(clip.folder, UNIT_KEYS)
    assert verdict.ok
    (message,) = messages(verdict, severity)
    assert message.startswith("part 1, date: 2026-09-21T14:13:20.520Z (chrony), but 2026-09-21T13:13:20.520Z")
