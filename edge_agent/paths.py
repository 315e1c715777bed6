"""Where things lie in the data directory."""

from pathlib import Path


def ring_directory(data_dir: Path, camera: str) -> Path:
    """Segments, index, plans and lock of one camera."""
    return data_dir / "ring" / camera


def ring_socket(data_dir: Path, camera: str) -> Path:
    """The Unix socket of one camera's recorder."""
    return data_dir / "run" / f"{camera}.sock"


def ring_lock(data_dir: Path, camera: str) -> Path:
    """Held by the process that owns the ring; holds its pid."""
    return ring_directory(data_dir, camera) / "lock"


def last_place_file(data_dir: Path) -> Path:
    """The last place that the unit's receiver knew."""
    return data_dir / "position.json"


def link_directory(data_dir: Path) -> Path:
    """Database and transfers of the link."""
    return data_dir / "link"


def link_lock(data_dir: Path) -> Path:
    """Held by the link; holds its pid."""
    return link_directory(data_dir) / "link.lock"


def process_book(data_dir: Path) -> Path:
    """What the supervisor knows of this boot's restarts."""
    return data_dir / "run" / "processes.json"


def unit_lock(data_dir: Path) -> Path:
    """Held by the supervisor; holds its pid."""
    return data_dir / "run" / "unit.lock"
