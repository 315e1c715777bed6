"""Pages of long lists: a cursor says where the last page ended, so that rows which come meanwhile move nothing.

To its reader a cursor is opaque; inside it is the sort key of the last row (keyset paging), so that the next page
costs what the first one did, however far down it is.
"""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from csu.errors import RequestRefusedError

Key = tuple[int | str, ...]
"""Of a row, in the order of the list: an instant, then ids."""
T = TypeVar("T")

_MAX_CHARACTERS = 400
_TEXT = re.compile(r"[A-Za-z0-9_-]+")
_BIGGEST = 1 << 63


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some rows of a list, and where the next ones begin; `cursor` is None at the end."""

    items: tuple[T, ...]
    cursor: str | None


def page_of(rows: Sequence[T], limit: int, key_of: Callable[[T], Key]) -> Page[T]:
    """The first `limit` of `limit + 1` rows that were asked for; the one more says whether there are further ones."""
    items = tuple(rows[:limit])
    return Page(items, write_cursor(key_of(items[-1])) if len(rows) > limit and items else None)


def write_cursor(key: Key) -> str:
    """A key as text that is safe in a URL."""
    return urlsafe_b64encode(json.dumps(key, separators=(",", ":")).encode()).rstrip(b"=").decode()


def read_cursor(text: str, *shape: type[int] | type[str]) -> Key:
    """The key in a cursor.

    Raises:
        RequestRefusedError: it was not made here, or for another list.
    """
    try:
        return _key_in(text, shape)
    except (ValueError, RecursionError) as error:
        raise RequestRefusedError(
            "cursor-invalid", f"cursor={text!r:.60} is none of this list; begin without one"
        ) from error


def _key_in(text: str, shape: tuple[type[int] | type[str], ...]) -> Key:
    if len(text) > _MAX_CHARACTERS or not _TEXT.fullmatch(text):
        raise ValueError("not base64url")
    key = json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    if not isinstance(key, list) or [type(value) for value in key] != list(shape):
        raise ValueError("another list's")
    if any(isinstance(value, int) and not -_BIGGEST <= value < _BIGGEST for value in key):
        raise ValueError("no number that the database holds")
    return tuple(key)
