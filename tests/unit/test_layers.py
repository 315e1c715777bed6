"""The layer table of docs/architecture.md, import by import: who may take what of whom.

lint-imports checks the order of the layers through all indirections; this checks the short allow-lists that
its contracts cannot say, and that nothing stands outside the table.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUNS_APART = ROOT / "edge_agent" / "capture" / "gstreamer" / "pipeline_child"

WIRING = {
    "capture_figures",
    "cli",
    "cli_ask",
    "cli_check",
    "cli_clip",
    "cli_still",
    "doorkeeper",
    "link",
    "link_health",
    "link_lock",
    "link_position",
    "recorder",
    "second_ring",
    "still_maker",
    "supervise",
    "__main__",
}
ROOMS: dict[str, tuple[str, ...]] = {
    "capture": (),
    "buffer": (),
    "uplink": ("edge_agent.buffer.client", "edge_agent.buffer.clip.reader"),
    "health": (),
    "position": (),
    "deployment": (),
    "evidence": (),
}
CONTRACT = "edge_agent.contract"
SHARED_WITH_CSU = (
    CONTRACT,
    "edge_agent.cli_output",
    "edge_agent.clock",
    "edge_agent.durable",
    "edge_agent.mqtt_options",
    "edge_agent.mqtt_packets",
    "edge_agent.paho_connection",
    "edge_agent.retry",
)


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    """The second part of a module's name; empty for the package itself."""
    return module.partition(".")[2].partition(".")[0]


def modules(package: str) -> dict[str, Path]:
    return {module_name(path): path for path in sorted((ROOT / package).rglob("*.py"))}


PROJECT = modules("edge_agent") | modules("csu")


def imports(path: Path) -> Iterator[str]:
    """Modules of the project that a file imports; `from a import b` counts as `a.b` where that is a module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level == 1 and path.parent == RUNS_APART:
                continue  # its own files: tests/unit/capture/gstreamer/test_pipeline_child.py
            assert node.level == 0, f"{path}: relative import"
            full = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in PROJECT else str(node.module) for name in full]
        else:
            continue
        yield from (name for name in names if name.partition(".")[0] in {"edge_agent", "csu"})


def is_under(module: str, parent: str) -> bool:
    return module == parent or module.startswith(f"{parent}.")


def is_common(module: str) -> bool:
    room = room_of(module)
    return module.startswith("edge_agent.") and room not in {*WIRING, *ROOMS, "contract"}


def may_import(importer: str, imported: str) -> bool:
    package, room = importer.partition(".")[0], room_of(importer)
    if package == "csu":
        return any(is_under(imported, allowed) for allowed in ("csu", *SHARED_WITH_CSU))
    if is_under(imported, "csu"):
        return False
    if room in WIRING or is_under(imported, CONTRACT):
        return True
    if room in ROOMS:
        return (
            is_under(imported, f"edge_agent.{room}")
            or is_common(imported)
            or any(is_under(imported, allowed) for allowed in ROOMS[room])
        )
    return is_common(importer) and is_common(imported)


@pytest.mark.parametrize("module", sorted(PROJECT))
def test_imports_follow_the_table(module: str) -> None:
    # The package's own name and version are no layer.
    taken = [name for name in imports(PROJECT[module]) if name != "edge_agent"]
    assert [name for name in taken if not may_import(module, name)] == []


@pytest.mark.parametrize(
    ("importer", "imported", "allowed"),
    [
        ("edge_agent.contract.errors", "edge_agent.errors", False),
        ("edge_agent.settings", "edge_agent.contract.errors", True),
        ("edge_agent.settings", "edge_agent.capture", False),
        ("edge_agent.capture.rtsp", "edge_agent.clock", True),
        ("edge_agent.capture.rtsp", "edge_agent.buffer.ring", False),
        ("edge_agent.capture.rtsp", "edge_agent.cli", False),
        ("edge_agent.uplink.tus", "edge_agent.buffer.client", True),
        ("edge_agent.uplink.tus", "edge_agent.buffer.ring", False),
        ("edge_agent.uplink.tus", "edge_agent.capture", False),
        ("edge_agent.link", "edge_agent.uplink", True),
        ("edge_agent.link", "csu.registry", False),
        ("csu.verify", "edge_agent.contract.manifest", True),
        ("csu.verify", "edge_agent.durable", True),
        ("csu.verify", "edge_agent.errors", False),
    ],
)
def test_table_says_what_the_design_says(importer: str, imported: str, allowed: bool) -> None:
    assert may_import(importer, imported) is allowed


def test_the_document_names_every_file_at_the_top() -> None:
    table = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = {words[0]: words[1] for line in table.splitlines() if len(words := re.findall(r"[^|]+", line)) == 3}
    common = next(text for name, text in rows.items() if '"common"' in name)
    wiring = next(name for name in rows if "wiring" in name)
    files = {path.stem for path in (ROOT / "edge_agent").glob("*.py")} - {"__init__", "__main__"}
    assert set(re.findall(r"`(\w+)`", wiring)) == files & WIRING
    assert set(re.findall(r"`(\w+)`", common)) == files - WIRING


def test_the_document_names_what_the_centre_takes_of_the_unit() -> None:
    table = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    row = next(line for line in table.splitlines() if line.startswith("| `csu/`"))
    assert set(re.findall(r"`(\w+)`", row)) == {name.partition(".")[2] for name in SHARED_WITH_CSU} - {"contract"}


def test_every_folder_is_a_room() -> None:
    folders = {path.parent.name for path in (ROOT / "edge_agent").glob("*/__init__.py")}
    assert folders <= {*ROOMS, *WIRING, "contract"}
