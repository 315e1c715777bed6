"""What the system's Python of a Jetson has to be able to run."""

import ast
import sys
from pathlib import Path

import pytest

from edge_agent.capture.gstreamer.process import CHILD

FILES = sorted(CHILD.rglob("*.py"))
YOUNG = {"ExceptionGroup", "BaseExceptionGroup", "StrEnum", "Self", "TaskGroup", "batched", "add_note", "UTC"}


@pytest.fixture(params=FILES, ids=[path.name for path in FILES])
def tree(request: pytest.FixtureRequest) -> ast.Module:
    """One of its files, which has to be in the syntax of Python 3.10."""
    path: Path = request.param
    return ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 10))


def foreign(tree: ast.Module) -> set[str]:
    """Packages that are imported, the standard library's aside; a name of more than one dot is foreign."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level != 1:
            names.add("." * node.level + str(node.module).partition(".")[0])
    return names - sys.stdlib_module_names


def test_it_stands_alone(tree: ast.Module) -> None:
    """Nothing that a bare system with PyGObject lacks."""
    assert foreign(tree) <= {"gi"}


def test_it_is_all_there() -> None:
    assert "__main__.py" in {path.name for path in FILES}
    assert foreign(ast.parse("import gi, numpy\nfrom . import feed\nfrom ..process import Order")) == {
        "gi",
        "numpy",
        "..process",
    }


def test_it_uses_no_name_that_is_younger_than_python_3_10(tree: ast.Module) -> None:
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    used |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert used & YOUNG == set()
