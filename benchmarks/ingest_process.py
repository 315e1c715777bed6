"""The centre's ingest alone, in its own process: what both uploaders send to.

`python -m benchmarks.ingest_process DIRECTORY UNIT_KEYS_FILE URL_FILE`
"""

import asyncio
import logging
import sys
from pathlib import Path

from csu.ingest import Ingest
from csu.ingest_server import IngestServer
from edge_agent.clock import SystemClock
from edge_agent.contract.jws import TrustedKeys

_log = logging.getLogger(__name__)


async def serve(directory: Path, keys: TrustedKeys, url_file: Path) -> None:
    """Take clips of units with these keys until killed; the creation URL goes into `url_file`."""

    async def keys_of(_unit_id: str) -> TrustedKeys:
        return keys

    async def arrived(*, unit_id: str, clip_id: str, folder: Path) -> None:
        _log.info("clip %s of %s arrived in %s", clip_id, unit_id, folder.name)

    server = IngestServer(Ingest(directory, keys_of, arrived, SystemClock()))
    url = await server.start()
    await asyncio.to_thread(_tell, url, url_file)
    await asyncio.Event().wait()


def _tell(url: str, url_file: Path) -> None:
    unfinished = url_file.with_suffix(".new")
    unfinished.write_text(url, encoding="ascii")
    unfinished.replace(url_file)


def main(directory: str, keys_file: str, url_file: str) -> None:
    """Serve until killed."""
    logging.basicConfig(level=logging.INFO)
    keys = TrustedKeys.from_json(Path(keys_file).read_text(encoding="ascii"))
    asyncio.run(serve(Path(directory), keys, Path(url_file)))


if __name__ == "__main__":
    main(*sys.argv[1:])
