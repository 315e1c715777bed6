"""The fragments of a part with their digests: one model in a manifest, packed together in a plan.

A plan is written and read before a clip's first byte leaves the unit, and half an hour has 1,800 fragments: as JSON
objects they took half of that time. In a plan they are therefore one text, base64 (RFC 4648 §4) of a row a fragment,
big endian: sequence (uint64), number (uint32), offset (uint64), length (uint32), SHA-256 (32 bytes).
"""

from __future__ import annotations  # array[int] is an annotation only before Python 3.12

import base64
import binascii
import struct
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import starmap
from typing import Any, Self, overload

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import core_schema

from edge_agent.contract.model import ContractModel, first_problem
from edge_agent.contract.names import Sha256Hex

_ROW = struct.Struct(">QIQI32s")
_DIGEST_BYTES = 32


class FragmentDigest(ContractModel):
    """One fragment of a part: where it lies in the part's bytes and the digest its record carries."""

    sequence: int
    number: int
    offset: int
    """Of its `moof`, in bytes from the part's beginning."""
    length_bytes: int
    """`moof`, `mdat` and `uuid` together."""
    sha256: Sha256Hex


Row = tuple[int, int, int, int, bytes]
"""Sequence, number, offset, length in bytes, SHA-256."""


class FragmentDigests(Sequence[FragmentDigest]):
    """A part's fragments in order, as rows that become models when they are looked at."""

    __slots__ = ("_rows",)

    def __init__(self, rows: bytes) -> None:
        """Take packed rows.

        Raises:
            ValueError: not a whole number of rows.
        """
        if len(rows) % _ROW.size:
            raise ValueError(f"{len(rows)} bytes are no whole number of rows of {_ROW.size}")
        self._rows = rows

    @classmethod
    def of_rows(cls, rows: Iterable[Row]) -> Self:
        """Pack rows.

        Raises:
            ValueError: a number that does not fit its field.
        """
        try:
            return cls(b"".join(starmap(_ROW.pack, rows)))
        except struct.error as error:
            raise ValueError(f"a fragment does not fit a row: {error}") from error

    @classmethod
    def of_columns(
        cls,
        sequences: array[int],
        numbers: array[int],
        offsets: array[int],
        lengths_bytes: array[int],
        digests: bytes,
    ) -> Self:
        """Pack columns: a few strided copies, where packing row by row took a tenth of a clip's first byte.

        Args:
            sequences: array("Q").
            numbers: array("I").
            offsets: array("Q").
            lengths_bytes: array("I").
            digests: 32 bytes a fragment.

        Raises:
            ValueError: columns of different length.
        """
        columns = [*map(_big_endian, (sequences, numbers, offsets, lengths_bytes)), (digests, _DIGEST_BYTES)]
        rows = bytearray(len(sequences) * _ROW.size)
        at = 0
        for data, width in columns:
            if len(data) != len(sequences) * width:
                raise ValueError(f"{len(data)} bytes of a column of {width} for {len(sequences)} fragments")
            for place in range(width):
                rows[at + place :: _ROW.size] = data[place::width]
            at += width
        return cls(bytes(rows))

    @classmethod
    def of(cls, fragments: Iterable[FragmentDigest]) -> Self:
        """Pack models.

        Raises:
            ValueError: a number that does not fit its field.
        """
        return cls.of_rows(
            (one.sequence, one.number, one.offset, one.length_bytes, bytes.fromhex(one.sha256)) for one in fragments
        )

    @property
    def packed(self) -> bytes:
        """The rows."""
        return self._rows

    def __len__(self) -> int:
        """Number of fragments."""
        return len(self._rows) // _ROW.size

    def __iter__(self) -> Iterator[FragmentDigest]:
        """Each fragment in order."""
        return map(_model_of, _ROW.iter_unpack(self._rows))

    @overload
    def __getitem__(self, index: int) -> FragmentDigest: ...
    @overload
    def __getitem__(self, index: slice) -> FragmentDigests: ...
    def __getitem__(self, index: int | slice) -> FragmentDigest | FragmentDigests:
        """One fragment, or several."""
        places = range(len(self))[index]
        if isinstance(places, range):
            return FragmentDigests(b"".join(self._row(place) for place in places))
        return _model_of(_ROW.unpack(self._row(places)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FragmentDigests) and other._rows == self._rows

    def __hash__(self) -> int:
        return hash(self._rows)

    def __repr__(self) -> str:
        return f"FragmentDigests({len(self)} fragments)"

    def _row(self, place: int) -> bytes:
        return self._rows[place * _ROW.size : (place + 1) * _ROW.size]

    def _to_text(self) -> str:
        return base64.b64encode(self._rows).decode("ascii")

    @classmethod
    def _validate(cls, value: object) -> Self:
        if isinstance(value, cls):
            return value
        if isinstance(value, str):
            try:
                return cls(base64.b64decode(value, validate=True))
            except binascii.Error as error:
                raise ValueError(f"not base64: {error}") from error
        if isinstance(value, Iterable):
            return cls.of(FragmentDigest.model_validate(one) for one in value)
        raise ValueError("expected base64 text or fragments")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:  # noqa: ANN401 -- pydantic's own signature
        """Text in JSON, this class in Python."""
        return core_schema.no_info_plain_validator_function(
            cls._validate,
            serialization=core_schema.plain_serializer_function_ser_schema(
                cls._to_text, return_schema=core_schema.str_schema(), when_used="json"
            ),
        )


class ListedFragments(FragmentDigests):
    """The same with an object a fragment in JSON, as a manifest has it.

    In memory they stay rows: as models, a day's 86,400 took 110 MB on the unit, and at the centre.
    """

    __slots__ = ()

    @classmethod
    def _validate(cls, value: object) -> Self:
        if isinstance(value, FragmentDigests):
            return cls(value.packed)
        if isinstance(value, list | tuple):
            return cls.of(_checked(place, one) for place, one in enumerate(value))
        raise ValueError("expected a list of fragments")

    def _to_list(self) -> list[dict[str, Any]]:
        return [one.model_dump() for one in self]

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:  # noqa: ANN401 -- pydantic's own signature
        """A list in JSON, this class in Python."""
        return core_schema.no_info_plain_validator_function(
            cls._validate,
            serialization=core_schema.plain_serializer_function_ser_schema(cls._to_list, when_used="json"),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """That of a list of the models."""
        return handler(core_schema.list_schema(FragmentDigest.__pydantic_core_schema__))


def _checked(place: int, value: object) -> FragmentDigest:
    try:
        return FragmentDigest.model_validate(value)
    except ValidationError as error:
        raise ValueError(f"{place}.{first_problem(error)}") from error


def _big_endian(values: array[int]) -> tuple[bytes, int]:
    """The values' bytes in network order, and how many each takes."""
    if sys.byteorder == "little":
        values = values[:]
        values.byteswap()
    return values.tobytes(), values.itemsize


def _model_of(row: tuple[Any, ...]) -> FragmentDigest:
    sequence, number, offset, length_bytes, digest = row
    return FragmentDigest(
        sequence=sequence, number=number, offset=offset, length_bytes=length_bytes, sha256=digest.hex()
    )
