"""The API against what its own document makes schemathesis think of: no 500, and no answer that the document denies.

`CSU_FUZZ_S=600` fuzzes for so many seconds with another seed each time; without, a fixed one for well under a minute.
"""

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.real.csu_service import CsuService
from tests.real.seeded_centre import seed
from tests.support.processes import Processes

pytestmark = [pytest.mark.real, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
LONG_S = int(os.environ.get("CSU_FUZZ_S", "0"))
ENDLESS = ("/v1/stream", "/v1/watch")
EXAMPLES = 12


@pytest.fixture
def service(tmp_path: Path, processes: Processes) -> Iterator[CsuService]:
    service = CsuService(tmp_path, processes)
    seed(tmp_path / "csu")
    service.start()
    yield service
    service.end()


@pytest.mark.timeout(LONG_S + 300)
def test_no_request_of_its_own_document_surprises_it(service: CsuService, tmp_path: Path) -> None:
    token = (service.directory / "csu" / "api.token").read_text()
    url = service.client.info().api_url
    program = Path(sys.executable).parent / "schemathesis"
    command: list[str | Path] = [program, "run", f"{url}/v1/openapi.json", "--url", url]
    command += ["--header", f"Authorization: Bearer {token}", "--request-timeout", "30", "--continue-on-failure"]
    command += [word for path in ENDLESS for word in ("--exclude-path", path)]
    # positive_data_acceptance: accepts_what_it_says of the hooks, which knows cursors.
    command += ["--checks", "all", "--exclude-checks", "positive_data_acceptance", "--generation-database", "none"]
    how_long = ["--max-time", str(LONG_S)] if LONG_S else ["--max-examples", str(EXAMPLES)]
    command += ["--seed", str(secrets.randbelow(1 << 30) if LONG_S else 1), "--no-color", *how_long]
    environment = os.environ | {"SCHEMATHESIS_HOOKS": "tests.real.fuzz_hooks", "PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]
    assert psutil.Process(service.process.pid).memory_info().rss < 300_000_000
    assert len(service.client.units()) >= 3
