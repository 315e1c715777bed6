"""An ingest in a process of its own, to be killed: DIRECTORY PORT UNIT_ID PUBLIC_JWK_FILE [ORIGIN].

Writes a line when it listens; each clip that arrives is written to `DIRECTORY/told/<clip_id>`. ORIGIN is what units
sign their tokens for when a proxy stands in front.
"""

import asyncio
import json
import sys
from pathlib import Path

from csu.ingest import Ingest
from csu.ingest_quota import IngestLimits
from csu.ingest_server import IngestServer
from edge_agent.clock import SystemClock
from edge_agent.contract.jws import TrustedKeys
from edge_agent.durable import make_directory, write_file


async def serve(directory: Path, port: int, enrolled: str, keys: TrustedKeys, origins: list[str]) -> None:
    async def look_up(unit_id: str) -> TrustedKeys | None:
        return keys if unit_id == enrolled else None

    async def on_complete(*, unit_id: str, clip_id: str, folder: Path) -> None:
        await asyncio.to_thread(write_file, directory / "told" / clip_id, f"{unit_id} {folder}".encode())

    limits = IngestLimits(reserve_bytes=0)
    ingest = Ingest(directory, look_up, on_complete, SystemClock(), origins=origins, limits=limits)
    sys.stdout.write(await IngestServer(ingest, port=port).start() + "\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    told = Path(sys.argv[1])
    make_directory(told / "told")
    jwk = json.loads(Path(sys.argv[4]).read_text(encoding="utf-8"))
    asyncio.run(serve(told, int(sys.argv[2]), sys.argv[3], TrustedKeys.from_jwks(jwk), sys.argv[5:]))
