"""A part's fragments, packed: by rows and by columns alike."""

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.contract.errors import ContractError
from edge_agent.contract.fragment_digests import FragmentDigests, ListedFragments, Row
from edge_agent.contract.model import ContractModel

UINT32 = st.integers(0, (1 << 32) - 1)
UINT64 = st.integers(0, (1 << 64) - 1)
ROWS = st.lists(st.tuples(UINT64, UINT32, UINT64, UINT32, st.binary(min_size=32, max_size=32)), max_size=6)


def by_columns(rows: list[Row]) -> FragmentDigests:
    return FragmentDigests.of_columns(
        array("Q", [row[0] for row in rows]),
        array("I", [row[1] for row in rows]),
        array("Q", [row[2] for row in rows]),
        array("I", [row[3] for row in rows]),
        b"".join(row[4] for row in rows),
    )


@given(ROWS)
def test_columns_pack_as_rows_do(rows: list[Row]) -> None:
    packed = by_columns(rows)
    assert packed == FragmentDigests.of_rows(rows)
    assert [
        (one.sequence, one.number, one.offset, one.length_bytes, bytes.fromhex(one.sha256)) for one in packed
    ] == rows


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="for 1 fragments"):
        FragmentDigests.of_columns(array("Q", [1]), array("I", [1, 2]), array("Q", [3]), array("I", [4]), bytes(32))
    with pytest.raises(ValueError, match="31 bytes"):
        FragmentDigests.of_columns(array("Q", [1]), array("I", [1]), array("Q", [3]), array("I", [4]), bytes(31))


class Listing(ContractModel):
    fragments: ListedFragments


ONE = {"sequence": 7, "number": 1, "offset": 100, "length_bytes": 50, "sha256": "ab" * 32}


@given(ROWS)
def test_a_list_holds_what_rows_hold(rows: list[Row]) -> None:
    listing = Listing(fragments=ListedFragments.of_rows(rows))
    written = listing.to_object()["fragments"]
    assert [list(one) for one in written] == [list(ONE)] * len(rows)
    assert Listing.from_object({"fragments": written}) == listing
    assert Listing.from_json(listing.to_json()) == listing
    assert Listing.model_validate({"fragments": FragmentDigests.of_rows(rows)}) == listing


@pytest.mark.parametrize(
    ("fragments", "words"),
    [
        ("", "expected a list"),
        (7, "expected a list"),
        ({"0": ONE}, "expected a list"),
        ([ONE, 7], r"1\.body"),
        ([ONE, ONE | {"sha256": "ab"}], r"1\.sha256"),
        ([{name: ONE[name] for name in ONE if name != "offset"}], r"0\.offset"),
        ([ONE | {"offset": -1}], "does not fit"),
        ([ONE | {"length_bytes": 1 << 32}], "does not fit"),
    ],
)
def test_what_is_no_list_of_fragments_is_named(fragments: object, words: str) -> None:
    with pytest.raises(ContractError, match=words):
        Listing.from_object({"fragments": fragments})
