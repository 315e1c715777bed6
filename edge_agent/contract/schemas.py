"""The published schema documents (JSON Schema 2020-12), made from the models.

`python -m edge_agent.contract.schemas DIR` writes them.
"""

import json
import sys
from pathlib import Path

from edge_agent.contract import commands, messages
from edge_agent.contract.clip import Manifest
from edge_agent.contract.model import ContractModel
from edge_agent.contract.segment_format import SegmentHeader

PUBLISHED: dict[str, type[ContractModel]] = {
    "status": messages.Status,
    "position": messages.Position,
    "health": messages.Health,
    "coverage": messages.Coverage,
    "alarms": messages.Alarms,
    "history": messages.History,
    "event": messages.Event,
    "reply": messages.Reply,
    "receipt": messages.Receipt,
    "command": commands.CommandClaims,
    "manifest": Manifest,
    "segment-header": SegmentHeader,
    **{f"params-{name}": model for name, model in (commands.DURABLE | commands.EPHEMERAL).items()},
}
"""File name without `.json`, and the model behind it."""


def schema_text(model: type[ContractModel]) -> str:
    """One schema document, as it is published."""
    return json.dumps(model.model_json_schema(by_alias=True), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def write_all(folder: Path) -> None:
    """Write every schema document into a folder.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, model in PUBLISHED.items():
        (folder / f"{name}.json").write_text(schema_text(model), encoding="utf-8")


if __name__ == "__main__":
    write_all(Path(sys.argv[1]))
