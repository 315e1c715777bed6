"""`csu enrol`: let a unit in and hand out what it needs."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from csu.cli.common import OK, Context, add_dir, unit_id
from csu.errors import CsuSettingsError
from edge_agent.durable import make_directory, write_file

PASSWORD_FILE = "mqtt.password"  # noqa: S105 -- the name of a file
COMMAND_KEYS_FILE = "command-keys.json"
_MAX_KEY_BYTES = 16_384


def add_to(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The subcommand's arguments."""
    parser = subcommands.add_parser("enrol", help="let a unit in; prints what goes into its settings")
    add_dir(parser)
    parser.add_argument("unit", type=unit_id, metavar="UNIT", help="its id, such as nomad-07")
    parser.add_argument(
        "--key", required=True, metavar="FILE", help="its public key: edge-agent identity --config FILE (- reads it)"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="write the unit's files here (default: ./UNIT)")
    parser.set_defaults(run=run)


def run(context: Context) -> int:
    """Enrol, write the files, print the tables."""
    arguments = context.arguments
    enrolment = context.client.enrol(arguments.unit, read_key(arguments.key))
    folder: Path = arguments.out or Path(arguments.unit)
    try:
        write_unit_files(folder, enrolment)
    except OSError as error:
        raise CsuSettingsError(f"--out {folder}: {error}") from error
    print(f"# {arguments.unit} is enrolled. Copy the files of {folder} beside its settings file, and add to it:")
    print(settings_text(enrolment), end="")
    return OK


def read_key(name: str) -> dict[str, Any]:
    """A public JWK from a file, or from standard input for `-`.

    Raises:
        CsuSettingsError: missing, too large, or not a JSON object.
    """
    try:
        text = sys.stdin.read(_MAX_KEY_BYTES) if name == "-" else Path(name).read_text(encoding="utf-8")
        document = json.loads(text)
    except (OSError, ValueError) as error:
        raise CsuSettingsError(
            f"--key {name}: {error}; make it on the unit with: edge-agent identity --config FILE"
        ) from error
    if not isinstance(document, dict):
        raise CsuSettingsError(f"--key {name}: a JWK is a JSON object")
    return document


def write_unit_files(folder: Path, enrolment: dict[str, Any]) -> None:
    """`mqtt.password` (mode 0600) and `command-keys.json`, durably.

    Raises:
        OSError: the storage refused.
    """
    make_directory(folder)
    write_file(folder / COMMAND_KEYS_FILE, json.dumps(enrolment["command_keys"], indent=2).encode(), 0o644)
    if enrolment.get("password") is not None:
        write_file(folder / PASSWORD_FILE, str(enrolment["password"]).encode(), 0o600)


def settings_text(enrolment: dict[str, Any]) -> str:
    """The tables of the unit's settings file; file names are relative to it."""
    lines = ["[mqtt]", f'url = "{enrolment["mqtt_url"]}"', f'topic_prefix = "{enrolment["topic_prefix"]}"']
    if enrolment.get("password") is not None:
        lines += [f'username = "{enrolment["unit_id"]}"', f'password_file = "{PASSWORD_FILE}"']
    lines += ["", "[upload]", f'url = "{enrolment["upload_url"]}"']
    lines += ["", "[trust]", f'command_keys_file = "{COMMAND_KEYS_FILE}"', ""]
    return "\n".join(lines)
