import stat
import threading
from pathlib import Path

import pytest

from edge_agent.contract.jws import TrustedKeys
from edge_agent.errors import EvidenceError
from edge_agent.evidence.keys import load_or_create_unit_key, unit_key_file


def test_the_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    first = load_or_create_unit_key(tmp_path)
    assert load_or_create_unit_key(tmp_path).key_id == first.key_id
    assert stat.S_IMODE(unit_key_file(tmp_path).stat().st_mode) == 0o600
    assert stat.S_IMODE(unit_key_file(tmp_path).parent.stat().st_mode) == 0o700
    assert "d" not in first.public_jwk()


def test_processes_that_ask_at_once_get_one_key(tmp_path: Path) -> None:
    gate, ids = threading.Barrier(8), []

    def ask() -> None:
        gate.wait()
        ids.append(load_or_create_unit_key(tmp_path).key_id)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 8
    assert len(set(ids)) == 1
    assert [path.name for path in unit_key_file(tmp_path).parent.iterdir()] == ["unit.jwk"]


def test_a_signature_of_the_loaded_key_holds(tmp_path: Path) -> None:
    made = load_or_create_unit_key(tmp_path)
    token = load_or_create_unit_key(tmp_path).sign("manifest", {"a": 1})
    assert TrustedKeys.from_jwks(made.public_jwk()).verify("manifest", token) == {"a": 1}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_a_key_that_is_open_to_others_is_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    load_or_create_unit_key(tmp_path)
    unit_key_file(tmp_path).chmod(mode)
    with pytest.raises(EvidenceError, match="chmod 600"):
        load_or_create_unit_key(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"\xff\xfe", b'{"kty":"OKP","crv":"Ed25519","x":"AAAA"}', b"[]", b"7"]
)
def test_a_damaged_key_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    load_or_create_unit_key(tmp_path)
    unit_key_file(tmp_path).write_bytes(content)
    with pytest.raises(EvidenceError, match=r"unit\.jwk: .*restore it"):
        load_or_create_unit_key(tmp_path)
    assert unit_key_file(tmp_path).read_bytes() == content


def test_a_data_directory_that_is_a_file_is_an_evidence_error(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"")
    with pytest.raises(EvidenceError, match="cannot read or make"):
        load_or_create_unit_key(tmp_path / "data")
