"""What the system's Python of a Jetson has to be able to run."""

import ast
import sys
from pathlib import Path

from edge_agent.capture.gstreamer import child

TREE = ast.parse(Path(child.__file__).read_text(encoding="utf-8"), feature_version=(3, 10))


def test_it_stands_alone() -> None:
    """Syntax of Python 3.10 (parsed above), and nothing that a bare system with PyGObject lacks."""
    names: set[str] = set()
    for node in ast.walk(TREE):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(str(node.module).partition(".")[0])
    assert names - sys.stdlib_module_names == {"gi"}


def test_it_uses_no_name_that_is_younger_than_python_3_10() -> None:
    young = {"ExceptionGroup", "BaseExceptionGroup", "StrEnum", "Self", "TaskGroup", "batched", "add_note", "UTC"}
    used = {node.attr for node in ast.walk(TREE) if isinstance(node, ast.Attribute)}
    used |= {node.id for node in ast.walk(TREE) if isinstance(node, ast.Name)}
    assert used & young == set()
