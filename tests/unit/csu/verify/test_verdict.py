"""What becomes of many findings."""

from csu.verify.verdict import Findings, Verdict


def verdict_of(findings: Findings) -> Verdict:
    return Verdict(
        "clip",
        "valid",
        tuple(findings.kept),
        (),
        left_out=findings.left_out,
        left_out_errors=findings.left_out_errors,
    )


def test_no_number_of_warnings_hides_an_error() -> None:
    findings = Findings()
    for number in range(500):
        findings.add("warning" if number % 2 else "note", f"part {number}", "the unit corrected its clock since")
    assert verdict_of(findings).ok
    findings.error("part 501", "its digest is not the manifest's")
    verdict = verdict_of(findings)
    assert not verdict.ok
    assert verdict.reason is not None
    assert verdict.reason.startswith("part 501: its digest is not the manifest's")
    assert (len(findings.kept), findings.left_out) == (200, 301)


def test_errors_beyond_the_last_place_are_counted() -> None:
    findings = Findings()
    for number in range(203):
        findings.error(f"part {number}", "wrong")
    assert (len(findings.kept), findings.left_out, findings.errors) == (200, 3, 200)
    assert str(verdict_of(findings).reason).endswith("part 2: wrong; and 200 more")


def test_warnings_that_were_left_out_are_no_errors() -> None:
    findings = Findings()
    for number in range(300):
        findings.add("warning", f"part {number}", "the unit corrected its clock since")
    for number in range(4):
        findings.error(f"part {number}", "wrong")
    assert str(verdict_of(findings).reason).endswith("part 2: wrong; and 1 more")
