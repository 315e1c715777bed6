"""Writes `docs/settings.md`: every key of the settings, its range, default, unit and meaning, as the models say.

The meaning of a key is the docstring under its field (PEP 258, "Attribute Docstrings"); ranges and defaults are those
of the models' JSON Schema.
"""

import ast
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from edge_agent.contract.names import CAMERA_NAME_PATTERN, UNIT_ID_PATTERN
from edge_agent.settings import (
    CameraSettings,
    EncoderSettings,
    MqttSettings,
    PositionSettings,
    ProxySettings,
    SensorSettings,
    TrustSettings,
    UnitSettings,
    UploadSettings,
    V4l2Settings,
)
from edge_agent.settings_file import GUARDED_KEYS, GUARDED_TABLES

TABLES: dict[str, type[BaseModel]] = {
    "unit": UnitSettings,
    "camera": CameraSettings,
    "camera.encoder": EncoderSettings,
    "camera.proxy": ProxySettings,
    "camera.sensor": SensorSettings,
    "camera.v4l2": V4l2Settings,
    "mqtt": MqttSettings,
    "upload": UploadSettings,
    "trust": TrustSettings,
    "position": PositionSettings,
}
"""Name in the file, in the order of the document."""

_UNITS = {
    "_deg": "degrees",
    "_dioptre": "dioptres",
    "_ev": "stops",
    "_us": "µs",
    "_bytes": "bytes",
    "_kbps": "kbit/s",
    "_h": "hours",
    "_m": "metres",
    "_s": "seconds",
    "fps": "pictures/s",
    "width": "pixels",
    "height": "pixels",
}
_TYPES = {"string": "text", "integer": "integer", "number": "number", "boolean": "true or false", "array": "list"}
_PATTERNS = {
    UNIT_ID_PATTERN: "2 to 31 of a–z, 0–9, -",
    CAMERA_NAME_PATTERN: "1 to 31 of a–z, 0–9, -",
}

_HEAD = """# Settings

One TOML file, `/etc/edge-agent/unit.toml` unless `--config FILE` names another. `edge-agent check` reads it and says
what is wrong with it; an unknown key is an error. `[unit]` and one `[[camera]]` are enough to record.

**Files that settings name.** A relative path is taken from the folder of the settings file, that of a `file:` source
too; `~` is not expanded. They have to be readable by the user who runs the agent; `edge-agent run` looks for them
first. A camera whose file is missing is not recorded until the file is there; the others are.

**Variables.** Every key is also `EDGE_<TABLE>_<KEY>` in the environment, which wins over the file:
`EDGE_UNIT_DATA_DIR`, `EDGE_MQTT_URL`; cameras are numbered from 0: `EDGE_CAMERA_1_SOURCE` is the second one's, and
adds it when the file has one; `EDGE_CAMERA_0_PROXY_BITRATE_KBPS` is a key of a table in it. Values are written as in
the file, without quotes; `allowed_origins` and `order` are separated by commas. A variable that begins with `EDGE_`
and is no setting is an error. A file with `enrolled = true` lets no variable change {guarded}.

This page is written by `python -m edge_agent.settings_reference docs/settings.md`.
"""


def reference_text() -> str:
    """The document."""
    guarded = [f"`[{table}]`" for table in GUARDED_TABLES]
    guarded += [f"`{table}.{key}`" for table, key in sorted(GUARDED_KEYS)]
    head = _HEAD.format(guarded=f"{', '.join(guarded[:-1])} or {guarded[-1]}")
    return "\n".join([head, *(_table_text(name, model) for name, model in TABLES.items())])


def _table_text(name: str, model: type[BaseModel]) -> str:
    heading = f"[[{name}]]" if name == "camera" else f"[{name}]"
    about = inspect.cleandoc(model.__doc__ or "").partition(":")[2].strip()
    rows = ["| key | type and range | default | unit | meaning |", "|---|---|---|---|---|", *_rows(model)]
    return "\n".join([f"## `{heading}`", "", about[:1].upper() + about[1:], "", *rows, ""])


def _rows(model: type[BaseModel]) -> Iterator[str]:
    meanings = _meanings(model)
    schema = model.model_json_schema()
    for key, about in schema["properties"].items():
        if f"camera.{key}" in TABLES:
            continue  # a table of its own
        default = "**needed**" if key in schema.get("required", ()) else _default_text(about.get("default"))
        unit = next((text for ending, text in _UNITS.items() if key.endswith(ending)), "")
        yield f"| `{key}` | {_type_text(about)} | {default} | {unit} | {meanings.get(key, '')} |"


def _default_text(value: object) -> str:
    if value is None or value in ([], {}):
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f'`"{value}"`' if isinstance(value, str) else f"`{value}`"


def _type_text(about: dict[str, Any]) -> str:
    kind = next((kind for kind in about.get("anyOf", ()) if kind.get("type") != "null"), about)
    if "enum" in kind:
        return " or ".join(f'`"{value}"`' if isinstance(value, str) else f"`{value}`" for value in kind["enum"])
    if kind.get("format") == "path":
        return "path"
    if kind["type"] == "array":
        return "list of lists of points" if "items" in kind["items"] else "list of text"
    return ", ".join(filter(None, [_TYPES[kind["type"]], _range_text(kind), _pattern_text(kind)]))


def _range_text(kind: dict[str, Any]) -> str:
    above, least, most = kind.get("exclusiveMinimum"), kind.get("minimum"), kind.get("maximum")
    words = []
    if above is not None:
        words.append(f"over {above:,g}")
    elif least is not None:
        words.append(f"{_number(least)}" if most is not None else f"at least {_number(least)}")
    if most is not None:
        words.append(f"to {_number(most)}")
    return " ".join(words)


def _number(value: float) -> str:
    return f"{int(value):,}" if float(value).is_integer() else f"{value:g}"


def _pattern_text(kind: dict[str, Any]) -> str:
    pattern = kind.get("pattern")
    if pattern is None:
        return ""
    return _PATTERNS.get(pattern, f"as `{pattern}`".replace("|", "\\|"))


def _meanings(model: type[BaseModel]) -> dict[str, str]:
    """The docstring under each field, on one line."""
    body = ast.parse(inspect.getsource(model)).body[0]
    assert isinstance(body, ast.ClassDef)  # noqa: S101 -- the source of a class: narrows the type
    found: dict[str, str] = {}
    for field, text in zip(body.body, body.body[1:], strict=False):
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
            continue
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str):
            found[field.target.id] = " ".join(text.value.value.split()).replace("None:", "none:")
    return found


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference_text(), encoding="utf-8")
