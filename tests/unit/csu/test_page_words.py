"""The page's words are complete in both languages, and its files keep the rules that nothing else checks."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from csu.severity import SEVERITIES
from edge_agent.contract.codes import ErrorCode
from edge_agent.contract.commands import DURABLE, EPHEMERAL
from edge_agent.contract.segment_format import CLOCK_SOURCES

PAGE = Path(__file__).parents[3] / "csu" / "page"
STATIC = PAGE / "static"
SCRIPTS = sorted((STATIC / "js").rglob("*.js"))
PLURAL = {"one", "other"}

Words = dict[str, Any]


def words_of(language: str) -> Words:
    return dict(json.loads((STATIC / "words" / f"{language}.json").read_text(encoding="utf-8")))


ENGLISH, FRENCH = words_of("en"), words_of("fr")


def texts(value: str | dict[str, str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value.values())


def places(value: str | dict[str, str]) -> set[str]:
    """Names of the values that a text takes; one that counts one thing may leave the number out."""
    return {name for text in texts(value) for name in re.findall(r"\{(\w+)\}", text)}


def test_both_languages_have_the_same_words() -> None:
    assert ENGLISH.keys() == FRENCH.keys()


@pytest.mark.parametrize("key", sorted(ENGLISH))
def test_a_text_takes_the_same_values_in_both(key: str) -> None:
    assert places(ENGLISH[key]) == places(FRENCH[key])
    for words in (ENGLISH, FRENCH):
        assert all(text.strip() for text in texts(words[key]))
        assert isinstance(words[key], str) or words[key].keys() == PLURAL


def used_keys() -> set[str]:
    """Keys that scripts name outright."""
    found: set[str] = set()
    for script in SCRIPTS:
        text = script.read_text(encoding="utf-8")
        found |= set(re.findall(r'\bt\("([^"]+)"', text)) | set(re.findall(r'words: "(shortcut\.[a-z]+)"', text))
        found |= {f"{key}" for pair in re.findall(r'\bt\([^()"]*\? "([^"]+)" : "([^"]+)"\)', text) for key in pair}
    return found


def test_every_word_that_a_script_names_is_there() -> None:
    assert used_keys() - ENGLISH.keys() == set()


def test_every_word_that_is_there_is_used() -> None:
    text = "\n".join(script.read_text(encoding="utf-8") for script in SCRIPTS)
    made = set(re.findall(r'coded\("([^"]+)"', text)) | set(re.findall(r"[`(]([a-z][a-z.-]*)\.\$\{", text))
    left = {key for key in ENGLISH if f'"{key}"' not in text and not any(key.startswith(f"{kind}.") for kind in made)}
    assert left == set()


KINDS: dict[str, set[str]] = {
    "reason": set(SEVERITIES),
    "code": {code.value for code in ErrorCode},
    "cmd": {*DURABLE, *EPHEMERAL},
    "clock": set(CLOCK_SOURCES),
    "standing": {"trouble", "lost", "unheard", "warning", "ok"},
    "cause": {"start", "boot", "restart", "stopped", "camera-lost", "timestamp-jump", "overload", "unknown"},
    "state": {"waiting", "accepted", "running", "done", "rejected", "failed", "cancelled", "expired"},
    "risk": {"none", "soon", "before-end", "gone", "unknown"},
    "verdict": {"pending", "verified", "failed"},
    "fix": {"none", "2d", "3d", "fixed"},
}
"""Codes of the contract and of the centre that people are shown."""


@pytest.mark.parametrize("kind", KINDS)
def test_every_code_has_words(kind: str) -> None:
    assert {code for code in KINDS[kind] if f"{kind}.{code}" not in ENGLISH} == set()


def test_every_reason_of_the_table_has_words() -> None:
    table = (PAGE.parent / "fleet_standing.py").read_text(encoding="utf-8").partition('"""')[2].partition('"""')[0]
    codes = set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`", table))
    assert len(codes) > 10
    assert {code for code in codes if f"reason.{code}" not in ENGLISH} == set()


def test_every_figure_of_health_has_a_name() -> None:
    table = (PAGE.parents[1] / "docs" / "health.md").read_text(encoding="utf-8").partition("## Figures")[2]
    figures = set(re.findall(r"^\| `([a-z]\w+)` \|", table.partition("### Without a figure")[0], re.MULTILINE))
    assert len(figures) > 30
    assert {figure for figure in figures if f"figure.{figure}" not in ENGLISH} == set()


def document() -> str:
    return (STATIC / "index.html").read_text(encoding="utf-8")


def reached(script: Path, found: set[Path]) -> set[Path]:
    """A script, and what it imports outright, and so on."""
    if script not in found:
        found.add(script)
        text = script.read_text(encoding="utf-8")
        for name in re.findall(r'(?:^|;)import\b[^;"()]*?"([^"]+)"', text, re.MULTILINE):
            reached(located(script, name), found)
    return found


def located(script: Path, name: str) -> Path:
    served = (script.parent / name).resolve()
    packages = STATIC.resolve() / "packages"
    return PAGE.resolve() / "packages" / served.relative_to(packages) if served.is_relative_to(packages) else served


def test_the_first_view_asks_for_all_of_its_modules_at_once() -> None:
    """Else each would wait for the one that imports it; and of no other, which would only be in its way."""
    first = reached((STATIC / "js" / "main.js").resolve(), set())
    own = {str(path.relative_to(STATIC.resolve())) for path in first if path.is_relative_to(STATIC.resolve())}
    assert set(re.findall(r'"/assets/(js/[^"]+)"', document())) == own | {"js/first.js"}
    packages = {str(path.relative_to(PAGE.resolve())) for path in first if not path.is_relative_to(STATIC.resolve())}
    preloaded = set(re.findall(r'"/assets/(packages/lit-html/[^"]+)"', document()))
    assert packages == preloaded


def test_every_file_that_is_served_of_a_package_is_used() -> None:
    everything: set[Path] = set()
    for script in SCRIPTS:
        reached(script.resolve(), everything)
    used = {str(path.relative_to(PAGE.resolve() / "packages")) for path in everything if "packages" in path.parts}
    named = set(re.findall(r'"/assets/packages/([^"]+)"', document()))
    served = {name for name in (PAGE / "served.txt").read_text(encoding="utf-8").split() if "LICENSE" not in name}
    assert used | named == served


def test_the_page_holds_to_its_strict_policy() -> None:
    assert re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon[a-z]+=", document()) is None
    for script in SCRIPTS:
        text = script.read_text(encoding="utf-8")
        assert (
            re.search(r"\beval\(|new Function|innerHTML\s*=|unsafeHTML|\sstyle=\$?|document\.write", text) is None
        ), script


def test_nothing_is_fetched_from_elsewhere() -> None:
    for path in (*SCRIPTS, *STATIC.rglob("*.css"), STATIC / "index.html"):
        addresses = re.findall(r"https?://[^\s\"'`)]+", path.read_text(encoding="utf-8"))
        assert [address for address in addresses if "www.w3.org" not in address] == [], path
