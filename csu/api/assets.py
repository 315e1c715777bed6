"""The page's files: read, hashed and compressed once at the start, served from memory by what was found then.

A request's path is looked up and never opened, so that no path leads anywhere else. All assets lie under one hash of
their contents: `/assets/<hash>/…` never changes and may be kept for ever, and modules that name each other relatively
stay in one version. The document itself is asked for anew each time.
"""

import gzip
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from csu.errors import CsuSettingsError

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/vnd.microsoft.icon",
    ".woff2": "font/woff2",
    ".mp4": "video/mp4",
}
"""By the end of a name, what is served; nothing else is."""
_PACKED = {".png", ".woff2", ".ico", ".mp4"}
_MAX_FILE_BYTES = 4_000_000
_WORTH_BYTES = 300
_DOCUMENT = "index.html"
_PREFIX = "/assets/"


@dataclass(frozen=True, slots=True)
class Asset:
    """One file, ready to be sent."""

    content: bytes
    content_type: str
    etag: str
    packed: bytes | None = None
    """With gzip (RFC 1952), where that is smaller."""


@dataclass(frozen=True, slots=True)
class Assets:
    """All of the page.

    Attributes:
        document: `index.html`, with its assets' addresses under the hash; None where no page is installed.
        files: by path under `/assets/`.
        version: the hash of all contents.
    """

    document: Asset | None
    files: dict[str, Asset]
    version: str

    def find(self, path: str) -> tuple[Asset, bool] | None:
        """The asset of a path under `/assets/`, and whether that path names this version of it."""
        version, _, rest = path.partition("/")
        if version == self.version and rest in self.files:
            return self.files[rest], True
        return (self.files[path], False) if path in self.files else None


def load_assets(page: Path) -> Assets:
    """Read the page's folder: `static/`, and `packages/` under the path of that name; blocks.

    Raises:
        CsuSettingsError: a file cannot be read.
    """
    try:
        found = dict(_files_of(page / "static", "")) | dict(_files_of(page / "packages", "packages/"))
    except OSError as error:
        raise CsuSettingsError(f"the page's files cannot be read: {error}; install the package anew") from error
    digest = hashlib.sha256()
    for name, content in sorted(found.items()):
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    version = digest.hexdigest()[:16]
    document = found.pop(_DOCUMENT, None)
    files = {name: _asset_of(name, content) for name, content in found.items()}
    return Assets(None if document is None else _document_of(document, version), files, version)


def _files_of(folder: Path, prefix: str) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        parts = path.relative_to(folder).parts
        if path.suffix not in _TYPES or path.is_symlink() or not path.is_file():
            continue
        if not any(part.startswith(".") for part in parts) and path.stat().st_size <= _MAX_FILE_BYTES:
            yield prefix + "/".join(parts), path.read_bytes()


def _document_of(content: bytes, version: str) -> Asset:
    under = f'"{_PREFIX}{version}/'.encode()
    return _asset_of(_DOCUMENT, content.replace(f'"{_PREFIX}'.encode(), under))


def _asset_of(name: str, content: bytes) -> Asset:
    suffix = Path(name).suffix
    packed = None
    if suffix not in _PACKED and len(content) >= _WORTH_BYTES:
        smaller = gzip.compress(content, 9, mtime=0)
        packed = smaller if len(smaller) < len(content) else None
    return Asset(content, _TYPES[suffix], f'"{hashlib.sha256(content).hexdigest()[:32]}"', packed)
