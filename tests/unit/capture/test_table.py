"""Adding a source is one file and one line in the table."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import edge_agent
from edge_agent.capture.table import SOURCES, open_source
from edge_agent.errors import SettingsError
from edge_agent.settings import CameraSettings
from tests.unit.capture.fakes import make_context

PACKAGE = Path(edge_agent.__file__).parent
SOURCE_MODULES = {place.partition(":")[0] for place in SOURCES.values()}


def imports_of(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def is_source(node: ast.stmt) -> bool:
    """A class whose `run` takes a sink and a stop event."""
    return isinstance(node, ast.ClassDef) and any(
        isinstance(member, ast.FunctionDef)
        and member.name == "run"
        and [argument.arg for argument in member.args.args] == ["self", "sink", "stop"]
        and not any(isinstance(base, ast.Name) and base.id == "Protocol" for base in node.bases)
        for member in node.body
    )


def test_every_line_names_a_source() -> None:
    for place in SOURCES.values():
        module, _, name = place.partition(":")
        assert callable(import_module(module).__dict__[name].run)


def test_every_source_has_its_line() -> None:
    written = {
        ".".join(("edge_agent", *path.relative_to(PACKAGE).with_suffix("").parts))
        for path in (PACKAGE / "capture").rglob("*.py")
        if any(is_source(node) for node in ast.parse(path.read_text(encoding="utf-8")).body)
    }
    assert written == SOURCE_MODULES


def test_nothing_but_the_table_knows_a_source() -> None:
    for path in PACKAGE.rglob("*.py"):
        assert not imports_of(path) & SOURCE_MODULES, f"{path} imports a source; open_source makes one"


def test_sources_do_not_know_one_another_and_load_nothing_until_used() -> None:
    code = (
        "import sys; import edge_agent.capture.table, edge_agent.capture.supervisor; "
        "print([name for name in ('av', 'cv2', 'numpy') if name in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


@pytest.mark.parametrize("source", ["usb:0", "street.mp4", "", "http://admin:secret@192.0.2.7/x"])
def test_an_unknown_scheme_names_the_known_ones(source: str) -> None:
    with pytest.raises(SettingsError, match=r"'main'.*file:, .*rtsp:, rtsps:, test:") as caught:
        open_source(CameraSettings(name="main", source=source), make_context())
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "remedy"),
    [("rtsp://", "rtsp://user:password@host"), ("file:", "file:street.mp4"), ("rtsp:street", "expected rtsp://")],
)
def test_an_address_without_a_place_says_what_is_expected(source: str, remedy: str) -> None:
    with pytest.raises(SettingsError, match=remedy):
        open_source(CameraSettings(name="main", source=source), make_context())


def test_a_picture_too_small_for_its_time_code_is_refused() -> None:
    with pytest.raises(SettingsError, match="at least 144×48"):
        open_source(CameraSettings(name="main", source="test:", width=130, height=96), make_context())


def test_a_source_whose_library_a_unit_lacks_says_so_before_anything_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("edge_agent.capture.table.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"cv2, numpy.*scripts/setup demo"):
        open_source(CameraSettings(name="main", source="test:"), make_context())
    open_source(CameraSettings(name="main", source="rtsp://192.0.2.7/stream1"), make_context())


def test_nothing_but_the_test_source_and_picamera2s_loads_a_library_that_a_unit_lacks() -> None:
    """In a process of its own, in which those libraries cannot be imported."""
    program = (
        "import importlib, pkgutil, sys\n"
        "sys.modules.update(dict.fromkeys(['cv2', 'numpy', 'rich']))\n"
        "import edge_agent\n"
        "for module in pkgutil.walk_packages(edge_agent.__path__, 'edge_agent.'):\n"
        "    if module.name not in set(sys.argv[1:]): importlib.import_module(module.name)\n"
    )
    drawn = [f"edge_agent.capture.{name}" for name in ("test", "scene", "timecode")]
    derived = [f"edge_agent.capture.picamera.{name}" for name in ("encoders", "event_loop", "outputs")]
    words = [sys.executable, "-c", program, "edge_agent.__main__", *drawn, *derived]
    outcome = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert outcome.returncode == 0, outcome.stderr
