"""Reads the settings file and the environment, and says what is wrong with them in one sentence each.

Order: the file, then `EDGE_…` variables over it. Relative paths are taken from the file's folder.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from edge_agent.errors import SettingsError
from edge_agent.settings import CameraSettings, Settings

PREFIX = "EDGE_"
MAX_FILE_BYTES = 1_000_000
GUARDED_TABLES = ("trust",)
GUARDED_KEYS = frozenset({("upload", "url"), ("upload", "allowed_origins"), ("unit", "enrolled"), ("unit", "id")})
"""Never from the environment of an enrolled unit: whom it obeys, whither footage goes, who it is."""

_CREDENTIALS = re.compile(r"//.*@", re.DOTALL)
_CAMERA_VARIABLE = re.compile(r"CAMERA_(\d)_(\w+)")


def load_settings(path: Path, environment: Mapping[str, str] = os.environ) -> Settings:
    """Read, overlay and validate.

    Raises:
        SettingsError: the message names the file, the key, the value and the remedy.
    """
    tree = _read_toml(path)
    _overlay(tree, environment, path)
    try:
        settings = Settings.model_validate(tree)
    except ValidationError as error:
        raise SettingsError(f"{path}: " + "; ".join(_sentences(error))) from error
    return _with_absolute_paths(settings, path.resolve().parent)


def check_files(settings: Settings) -> None:
    """Look for the files that the settings name, before anything is started.

    Raises:
        SettingsError: one is not there or cannot be read.
    """
    tables: list[tuple[str, BaseModel | None]] = [
        ("mqtt", settings.mqtt),
        ("upload", settings.upload),
        ("trust", settings.trust),
        *((f"camera.{number}", camera) for number, camera in enumerate(settings.camera)),
    ]
    for table, model in tables:
        for name in type(model).model_fields if model is not None else ():
            value = getattr(model, name)
            if isinstance(value, Path) and not (value.is_file() and os.access(value, os.R_OK)):
                raise SettingsError(f"{table}.{name} = {str(value)!r}: no such file, or not readable; put it there")


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise SettingsError(f"{path}: larger than {MAX_FILE_BYTES} bytes; is it the settings file?")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SettingsError(f"{path}: no such file; write one, or name it with --config FILE") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: not TOML: {error}") from error


def _overlay(tree: dict[str, Any], environment: Mapping[str, str], path: Path) -> None:
    enrolled = isinstance(tree.get("unit"), dict) and tree["unit"].get("enrolled") is True
    for variable in sorted(name for name in environment if name.startswith(PREFIX)):
        table, index, key = _address(variable)
        if enrolled and (table in GUARDED_TABLES or (table, key) in GUARDED_KEYS):
            raise SettingsError(f"{variable}: an enrolled unit takes {table}.{key} from {path} only; unset it")
        _place(tree, table, index, key, environment[variable], variable)


def _address(variable: str) -> tuple[str, int | None, str]:
    rest = variable.removeprefix(PREFIX)
    camera = _CAMERA_VARIABLE.fullmatch(rest)
    if camera and camera[2].lower() in CameraSettings.model_fields:
        return "camera", int(camera[1]), camera[2].lower()
    table, _, key = rest.lower().partition("_")
    if table != "camera" and key in _keys_of(table):
        return table, None, key
    raise SettingsError(f"{variable}: no such setting; variables are {PREFIX}<TABLE>_<KEY>, as in EDGE_MQTT_URL")


def _keys_of(table: str) -> frozenset[str]:
    field = Settings.model_fields.get(table)
    if field is None:
        return frozenset()
    annotation = field.annotation
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return frozenset(kind.model_fields)
    return frozenset()


def _place(tree: dict[str, Any], table: str, index: int | None, key: str, value: str, variable: str) -> None:
    parsed: object = [part.strip() for part in value.split(",")] if key == "allowed_origins" else value
    if index is None:
        target = tree.setdefault(table, {})
    else:
        cameras = tree.setdefault("camera", [])
        if not isinstance(cameras, list) or index > len(cameras):
            raise SettingsError(f"{variable}: camera {index} without camera {index - 1}; they are numbered from 0")
        if index == len(cameras):
            cameras.append({})
        target = cameras[index]
    if not isinstance(target, dict):
        raise SettingsError(f"{variable}: [{table}] in the file is not a table")
    target[key] = parsed


_REMEDIES = {
    "extra_forbidden": "no such key; look at the spelling, or take the line out",
    "missing": "the key is missing; write it",
}


def _sentences(error: ValidationError) -> list[str]:
    sentences = []
    problems = error.errors(include_url=False)
    for problem in problems:
        if problem["type"] == "too_short" and len(problems) > 1:
            continue  # said of [[camera]] as a whole because a camera in it is wrong, which has its own sentence
        place = ".".join(str(step) for step in problem["loc"]) or "file"
        remedy = _REMEDIES.get(problem["type"])
        if problem["type"] == "missing":
            sentences.append(f"{place}: {remedy}")
        elif remedy:
            sentences.append(f"{place} = {_shown(problem['input'])}: {remedy}")
        else:
            sentences.append(f"{place} = {_shown(problem['input'])}: {problem['msg']}")
    return sentences


def _shown(value: object) -> str:
    """The value for a message; URLs may hold credentials, so what stands before their `@` is left out."""
    return _CREDENTIALS.sub("//…@", repr(value))[:80]


def _with_absolute_paths(settings: Settings, folder: Path) -> Settings:
    def absolute(model: BaseModel) -> BaseModel:
        changes: dict[str, object] = {}
        for name in type(model).model_fields:
            value = getattr(model, name)
            if isinstance(value, Path):
                changes[name] = folder / value
            elif isinstance(value, BaseModel):
                changes[name] = absolute(value)
        return model.model_copy(update=changes)

    result = absolute(settings)
    assert isinstance(result, Settings)  # noqa: S101 -- narrows model_copy's type
    return result
