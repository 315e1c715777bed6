"""A unit's transfers in a process of its own, to be killed: DATA_DIR URL KEY_FILE CLIP_ID PLAN_FILE."""

import asyncio
import sys
from pathlib import Path

from edge_agent.clock import SystemClock
from edge_agent.contract.jws import SigningKey
from edge_agent.uplink.transfers import Transfers
from tests.support.uploads import UNIT_ID, Heard, upload_settings


async def upload(data_dir: Path, url: str, key: SigningKey, clip_id: str, plan_file: Path) -> None:
    transfers = Transfers(data_dir, upload_settings(url), key, UNIT_ID, SystemClock(), Heard())
    await transfers.submit(clip_id, plan_file, url, "normal")
    await transfers.run()


if __name__ == "__main__":
    unit_key = SigningKey.from_json(Path(sys.argv[3]).read_text(encoding="utf-8"))
    asyncio.run(upload(Path(sys.argv[1]), sys.argv[2], unit_key, sys.argv[4], Path(sys.argv[5])))
