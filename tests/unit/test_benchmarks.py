"""The benchmarks start, and judge as their table says; nothing is timed here."""

import inspect
import os
from pathlib import Path

import psutil
import pytest

from benchmarks.__main__ import main
from benchmarks.measure import percentile, pss_bytes, read_io
from benchmarks.report import BEGIN, END, format_markdown, replace_results
from benchmarks.row import Judge, Row, format_table
from benchmarks.table import BENCHMARKS
from benchmarks.workspace import Workspace, open_workspace, python, wait_for

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_takes_a_workspace_and_yields_rows(name: str) -> None:
    signature = inspect.signature(BENCHMARKS[name], eval_str=True)
    assert [parameter.annotation for parameter in signature.parameters.values()] == [Workspace]
    assert inspect.isgeneratorfunction(BENCHMARKS[name])


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_documentation_names_every_benchmark(name: str) -> None:
    assert f"`{name}`" in (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")


def test_an_unknown_name_is_refused_with_those_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refusal:
        main(["nothing"])
    assert refusal.value.code == 2
    said = capsys.readouterr().err
    assert all(name in said for name in BENCHMARKS)


@pytest.mark.parametrize(
    ("ours", "peer", "judge", "bar", "at_least", "passed"),
    [
        (9.0, None, "ours", 10.0, False, True),
        (11.0, 1000.0, "ours", 10.0, False, False),
        (20.0, 10.0, "ratio", 2.0, False, True),
        (21.0, 10.0, "ratio", 2.0, False, False),
        (90.0, 100.0, "ratio", 0.9, True, True),
        (89.0, 100.0, "ratio", 0.9, True, False),
        (25.0, 5.0, "difference", 20.0, False, True),
        (26.0, 5.0, "difference", 20.0, False, False),
        (26.0, 5.0, "none", 0.0, False, None),
        (26.0, None, "ratio", 1.0, False, None),
    ],
)
def test_a_row_is_judged_by_its_bar(
    ours: float, peer: float | None, judge: Judge, bar: float, at_least: bool, passed: bool | None
) -> None:
    assert Row("name", ours, "ms", peer, judge=judge, bar=bar, at_least=at_least).passed is passed


def test_the_table_shows_figures_peers_and_notes() -> None:
    row = Row("clip", 7.4, "ms", 3400.0, "ffmpeg", judge="ours", bar=10.0, note="median of 30")
    header, line, peer, note = format_table([row]).splitlines()
    assert header.split() == ["benchmark", "ours", "peer", "ratio", "bar", "verdict"]
    assert line.split() == ["clip", "7.4", "ms", "3,400", "ms", "0.00×", "≤", "10", "ms", "pass"]
    assert (peer.strip(), note.strip()) == ("peer: ffmpeg", "median of 30")


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(value) for value in range(1, 101)]
    assert [percentile(values, percent) for percent in (50, 99, 100)] == [50.0, 99.0, 100.0]
    assert percentile([3.0], 99) == 3.0


def test_figures_of_a_process_are_read(tmp_path: Path) -> None:
    before = read_io(os.getpid())
    file = tmp_path / "file"
    file.write_bytes(bytes(1_000_000))
    assert read_io(os.getpid()).since(before).passed_bytes >= 1_000_000
    assert pss_bytes(os.getpid()) > 1_000_000


def test_a_workspace_ends_what_was_started_in_it(tmp_path: Path) -> None:
    with open_workspace(quick=True, parent=tmp_path) as workspace:
        process = workspace.start(python("-c", "import time; print('up', flush=True); time.sleep(600)"), "sleeper")
        wait_for(lambda: workspace.log_tail("sleeper") or None, "the sleeper's first words")
        assert psutil.pid_exists(process.pid)
    assert process.poll() is not None
    assert list(tmp_path.iterdir()) == []


def test_results_go_between_the_marks_of_a_document(tmp_path: Path) -> None:
    document = tmp_path / "performance.md"
    document.write_text(f"# Head\n\n{BEGIN}\nold\n{END}\n\ntail\n", encoding="utf-8")
    row = Row("clip", 7.4, "ms", 3400.0, "ffmpeg", judge="ours", bar=10.0, note="median of 30")
    replace_results(document, format_markdown({"cpu": "2 × x"}, [row]))
    text = document.read_text(encoding="utf-8")
    assert "old" not in text
    assert "| clip | 7.4 ms | 3,400 ms | 0.00× | ≤ 10 ms | pass |" in text
    assert "- **clip**: median of 30; peer: ffmpeg." in text
    assert text.startswith("# Head\n")
    assert text.endswith("\n\ntail\n")


def test_a_document_without_marks_is_left_alone(tmp_path: Path) -> None:
    document = tmp_path / "performance.md"
    document.write_text("# Head\n", encoding="utf-8")
    with pytest.raises(ValueError, match="have to stand in it"):
        replace_results(document, "x")
    assert document.read_text(encoding="utf-8") == "# Head\n"
