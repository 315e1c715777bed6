"""Origins and metadata of uploads."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.contract.errors import ContractError
from edge_agent.contract.upload import UploadMetadata, origin_of

CLIP_ID = "0197a1b2-0000-7000-8000-000000000001"


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Ingest.CSU.example/files/", "https://ingest.csu.example"),
        ("https://ingest.csu.example:443/files/", "https://ingest.csu.example"),
        ("HTTP://ingest.csu.example:80", "http://ingest.csu.example"),
        ("http://192.0.2.7:8080/files/?a=b", "http://192.0.2.7:8080"),
        ("http://[2001:DB8::1]:8080/", "http://[2001:db8::1]:8080"),
    ],
)
def test_an_origin_has_one_spelling(url: str, origin: str) -> None:
    assert origin_of(url) == origin
    assert origin_of(origin) == origin


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/files/",
        "//host/files",
        "ftp://host/",
        "https:///files",
        "https://user@host/",
        "https://user:word@host/",
        "https://host:port/",
        "https://host:99999/",
        "https://[::1/",
        "https://host/a b",
        "https://host/\r\nX: y",
        "https://hôte.example/",
    ],
)
def test_what_is_no_url_of_an_ingest_is_refused(url: str) -> None:
    with pytest.raises(ContractError):
        origin_of(url)


def test_metadata_survives_its_header() -> None:
    metadata = UploadMetadata(clip_id=CLIP_ID, unit_id="nomad-07", kind="part", index=2, filename="a_part2.mp4")
    assert UploadMetadata.from_header(metadata.to_header()) == metadata
    assert UploadMetadata.from_header(metadata.to_header() + ",is_confidential") == metadata


@given(st.text(max_size=200))
def test_any_header_is_metadata_or_a_clear_error(header: str) -> None:
    with pytest.raises(ContractError, match="Upload"):
        UploadMetadata.from_header(header)
