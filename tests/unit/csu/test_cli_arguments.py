"""What arguments may be, told in words before anything is asked."""

import argparse

import pytest

from csu.cli.common import request_id
from csu.cli.parser import build_parser, main

CLIP = ["clip", "nomad-07", "--camera", "main", "--last", "10s", "--reference", "R", "--purpose", "P", "-o", "out"]
AN_ID = "0197a1b2-0000-7000-8000-000000000001"


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e400", "-1", "0", "five", ""])
@pytest.mark.parametrize("words", [CLIP, ["fetch", "nomad-07", AN_ID, "-o", "out"], ["check", "nomad-07"]])
def test_a_timeout_is_a_positive_finite_number(
    words: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*words, f"--timeout={text}"])
    assert caught.value.code == 2
    assert "a number of seconds over 0, such as 300" in capsys.readouterr().err


def test_a_timeout_may_be_a_fraction() -> None:
    assert build_parser().parse_args([*CLIP, "--timeout", "0.5"]).timeout == 0.5


@pytest.mark.parametrize(
    ("words", "named", "example"),
    [
        (["clip", "Bad ID", *CLIP[2:]], "Bad ID", "nomad-07"),
        (["enrol", "BAD", "--key", "unit.jwk"], "BAD", "nomad-07"),
        (["expel", "x"], "'x'", "nomad-07"),
        (["watch", "a/b"], "a/b", "nomad-07"),
        (["cancel", "nomad-07", "x"], "'x'", AN_ID),
        (["query", "nomad-07", "x"], "'x'", AN_ID),
        (["fetch", "nomad-07", f"{AN_ID}\n", "-o", "out"], AN_ID, AN_ID),
        (["coverage", "nomad-07", "MAIN"], "MAIN", "main"),
        ([*CLIP, "--camera", "ma in"], "ma in", "main"),
        ([*CLIP, "--reference", ""], "--reference", "1 to 200 characters"),
        ([*CLIP, "--purpose", "p" * 201], "--purpose", "1 to 200 characters, not 201"),
        ([*CLIP, "--operator", ""], "--operator", "1 to 200 characters"),
        ([*CLIP, "--role", "king"], "king", "investigator"),
    ],
)
def test_a_bad_name_is_told_in_words(
    words: list[str], named: str, example: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    complaint = capsys.readouterr().err
    assert named in complaint
    assert example in complaint
    assert "pattern" not in complaint


def test_an_id_may_be_typed_in_capitals() -> None:
    assert request_id(AN_ID.upper()) == AN_ID
    with pytest.raises(argparse.ArgumentTypeError):
        request_id("manifest")


@pytest.mark.parametrize(
    "intervals", [5, {"from": 1}, [5], [{}], [{"from": "x", "to": "y", "held": True}], [{"from": 10**400}]]
)
def test_coverage_that_is_none_is_an_error_in_words(
    intervals: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("csu.cli.ask.ask", lambda *_words: {"intervals": intervals})
    assert main(["coverage", "nomad-07", "main"]) == 1
    assert "csu: " in capsys.readouterr().err
