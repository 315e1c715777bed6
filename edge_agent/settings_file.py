"""Reads the settings file and the environment, and says what is wrong with them in one sentence each.

Order: the file, then `EDGE_…` variables over it. Relative paths are taken from the file's folder, those of `file:`
sources too.
"""

import logging
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from edge_agent.errors import SettingsError
from edge_agent.settings import CameraSettings, Settings

logger = logging.getLogger(__name__)

PREFIX = "EDGE_"
MAX_FILE_BYTES = 1_000_000
GUARDED_TABLES = ("trust",)
GUARDED_KEYS = frozenset({("upload", "url"), ("upload", "allowed_origins"), ("unit", "enrolled"), ("unit", "id")})
"""Never from the environment of an enrolled unit: whom it obeys, whither footage goes, who it is."""

_LISTS = frozenset({"allowed_origins", "order"})
_NAME = re.compile(r"[\w.-]{1,40}")
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
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
        raise SettingsError(f"{path}: " + "; ".join(_sentences(error, tree))) from error
    return _with_absolute_paths(settings, path.resolve().parent)


def check_link_files(settings: Settings) -> None:
    """Look for the files that the link needs; one that idles (`Settings.link_lacks`) needs none.

    A file that the storage cannot read though it is there is no mistake in the settings: who needs it says so.

    Raises:
        SettingsError: one is not there or may not be read.
    """
    if settings.link_lacks is None:
        for table in ("mqtt", "upload", "trust"):
            _check_table(f"{table}.", getattr(settings, table))


def check_camera_files(camera: CameraSettings) -> None:
    """As `check_link_files`, of one camera; the video of a `file:` source too.

    Raises:
        SettingsError: one is not there or may not be read.
    """
    place = f"camera {camera.name!r}: "
    _check_table(place, camera)
    if camera.video_file is not None:
        _check_file(f"{place}source", camera.video_file)


def _check_table(place: str, table: BaseModel | None) -> None:
    for name in type(table).model_fields if table is not None else ():
        if isinstance(value := getattr(table, name), Path):
            _check_file(f"{place}{name}", value)


def _check_file(what: str, path: Path) -> None:
    try:
        is_there = path.is_file() and os.access(path, os.R_OK)
    except PermissionError:
        is_there = False
    except OSError as error:
        logger.warning("%s = '%s': the storage cannot read it: %s", what, path, error.strerror)
        return
    if not is_there:
        raise SettingsError(f"{what} = {str(path)!r}: no such file, or not readable; put it there")


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
        table, index, keys = _address(variable)
        if enrolled and (table in GUARDED_TABLES or (table, *keys) in GUARDED_KEYS):
            raise SettingsError(f"{variable}: an enrolled unit takes {table}.{keys[0]} from {path} only; unset it")
        _place(tree, table, index, keys, environment[variable], variable)


def _address(variable: str) -> tuple[str, int | None, tuple[str, ...]]:
    """Table, number of the camera, and the key with the tables in that table before it."""
    rest = variable.removeprefix(PREFIX)
    camera = _CAMERA_VARIABLE.fullmatch(rest)
    if camera and (keys := _keys_in(CameraSettings, camera[2].lower())):
        return "camera", int(camera[1]), keys
    table, _, key = rest.lower().partition("_")
    field = Settings.model_fields.get(table)
    model = None if table == "camera" or field is None else _model_of(field.annotation)
    if model is not None and (keys := _keys_in(model, key)):
        return table, None, keys
    raise SettingsError(f"{variable}: no such setting; variables are {PREFIX}<TABLE>_<KEY>, as in EDGE_MQTT_URL")


def _keys_in(model: type[BaseModel], name: str) -> tuple[str, ...]:
    """`bitrate_kbps` of a table, or `proxy_bitrate_kbps` of a table in it; empty when there is neither."""
    field = model.model_fields.get(name)
    if field is not None and _model_of(field.annotation) is None:
        return (name,)
    table, _, key = name.partition("_")
    field = model.model_fields.get(table)
    inner = None if field is None else _model_of(field.annotation)
    return (table, key) if inner is not None and key in inner.model_fields else ()


def _model_of(annotation: object) -> type[BaseModel] | None:
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def _parsed(key: str, value: str, variable: str) -> object:
    if key == "masks":
        try:
            return tomllib.loads(f"masks = {value}")["masks"]
        except tomllib.TOMLDecodeError as error:
            raise SettingsError(f"{variable}: not a list as in the file, [[[0, 0], [0.5, 0], [0, 0.5]]]") from error
    return [part.strip() for part in value.split(",") if part.strip()] if key in _LISTS else value


def _place(
    tree: dict[str, Any], table: str, index: int | None, keys: tuple[str, ...], value: str, variable: str
) -> None:
    if index is None:
        target = tree.setdefault(table, {})
    else:
        cameras = tree.setdefault("camera", [])
        if not isinstance(cameras, list) or index > len(cameras):
            raise SettingsError(f"{variable}: camera {index} without camera {index - 1}; they are numbered from 0")
        if index == len(cameras):
            cameras.append({})
        target = cameras[index]
    for inner in keys[:-1]:
        if isinstance(target, dict):
            target = target.setdefault(inner, {})
    if not isinstance(target, dict):
        raise SettingsError(f"{variable}: [{'.'.join((table, *keys[:-1]))}] in the file is not a table")
    target[keys[-1]] = _parsed(keys[-1], value, variable)


_REMEDIES = {
    "extra_forbidden": "no such key; look at the spelling, or take the line out",
    "missing": "the key is missing; write it",
}


def _sentences(error: ValidationError, tree: Mapping[str, Any]) -> list[str]:
    problems = error.errors(include_url=False)
    return [
        _sentence(problem, tree)
        for problem in problems
        # Said of [[camera]] as a whole because a camera in it is wrong, which has its own sentence.
        if problem["type"] != "too_short" or problem["loc"] != ("camera",) or len(problems) == 1
    ]


def _sentence(problem: ErrorDetails, tree: Mapping[str, Any]) -> str:
    place, reason = _place_of(problem["loc"], tree), _REMEDIES.get(problem["type"]) or _reason_of(problem)
    if not place:  # of the file as a whole: two cameras of one name
        return reason
    return f"{place}: {reason}" if problem["type"] == "missing" else f"{place} = {_shown(problem['input'])}: {reason}"


def _reason_of(problem: ErrorDetails) -> str:
    """What a validator said, in its own words: pydantic puts `Value error, ` before those of ours."""
    cause = problem.get("ctx", {}).get("error")
    return str(cause) if isinstance(cause, ValueError) else problem["msg"]


def _place_of(steps: tuple[int | str, ...], tree: Mapping[str, Any]) -> str:
    """`mqtt.url`; a camera's key as `camera 'main': fps`."""
    if len(steps) < 2 or steps[0] != "camera" or not isinstance(steps[1], int):
        return ".".join(map(str, steps))
    camera = _camera_of(steps[1], tree)
    return ": ".join([camera, *([".".join(map(str, steps[2:]))] if steps[2:] else [])])


def _camera_of(number: int, tree: Mapping[str, Any]) -> str:
    """How a person finds a camera in the file: by its name when it alone has it, else by its place."""
    names = [camera.get("name") if isinstance(camera, dict) else None for camera in tree["camera"]]
    name = names[number]
    if isinstance(name, str) and _NAME.fullmatch(name) and names.count(name) == 1:
        return f"camera {name!r}"
    return f"the {_ORDINALS[number]} [[camera]]" if number < len(_ORDINALS) else f"[[camera]] number {number + 1}"


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
    cameras = tuple(_with_absolute_file(camera, folder) for camera in settings.camera)
    return result.model_copy(update={"camera": cameras})


def _with_absolute_file(camera: CameraSettings, folder: Path) -> CameraSettings:
    changes: dict[str, object] = {"source": _absolute_source(camera, folder)}
    if camera.ca_file is not None:
        changes["ca_file"] = folder / camera.ca_file
    if camera.has_own_recorder_for_proxy and camera.proxy is not None and (ring := camera.proxy_ring) is not None:
        changes["proxy"] = camera.proxy.model_copy(update={"source": _absolute_source(ring, folder)})
    return camera.model_copy(update=changes)


def _absolute_source(camera: CameraSettings, folder: Path) -> str:
    if camera.video_file is None or camera.source.partition(":")[2].startswith("//"):
        return camera.source
    return f"file:{folder / camera.video_file}"
