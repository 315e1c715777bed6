"""`csu verify`: check a clip against its manifest, offline if need be."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from csu.cli.common import FAILED, OK, Context, add_dir, json_text, printable
from csu.cli.enrol import read_key
from csu.errors import CsuSettingsError
from edge_agent.contract.jws import TrustedKeys

if TYPE_CHECKING:
    from csu.verify.clip import KeysOf  # decoders load slowly


def add_to(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The subcommand's arguments."""
    parser = subcommands.add_parser("verify", help="check a clip against its manifest")
    parser.add_argument("clip", type=Path, metavar="FILE|DIR", help="one of its files, or the folder of all")
    parser.add_argument("--key", metavar="FILE", help="the unit's public key (default: those enrolled under --dir)")
    parser.add_argument("--json", action="store_true", help="the whole report, as JSON")
    add_dir(parser)
    parser.set_defaults(run=run)


def run(context: Context) -> int:
    """Verify and say it; 0 when all of it holds."""
    arguments = context.arguments
    if not arguments.clip.exists():
        raise CsuSettingsError(f"{arguments.clip}: no such file or folder")
    if not arguments.clip.is_file() and not arguments.clip.is_dir():
        raise CsuSettingsError(f"{arguments.clip} is neither a regular file nor a folder; give a clip")
    from csu.verify import verify_clip  # decoders load slowly; the other subcommands do without

    verdict = verify_clip(arguments.clip, _keys_of(arguments))
    proven = verdict.ok and verdict.signature == "valid"
    if arguments.json:
        print(json_text(verdict.to_object(), 2))
    else:
        for finding in verdict.findings:
            print(printable(f"{finding.severity}: {finding}"))
        print(f"{'verified' if proven else 'NOT VERIFIED'}: {arguments.clip} (signature {verdict.signature})")
    return OK if proven else FAILED


def _keys_of(arguments: argparse.Namespace) -> "TrustedKeys | KeysOf":
    """The given key, or those of each unit that is enrolled under `--dir`, by the unit's name."""
    if arguments.key is not None:
        return TrustedKeys.from_jwks(read_key(arguments.key))
    files = {path.stem: path for path in sorted((arguments.dir / "keys" / "units").glob("*.jwks"))}
    if not files:
        raise CsuSettingsError(f"no unit is enrolled under --dir {arguments.dir}; give its key: --key unit.jwk")

    def keys_of(unit_id: str) -> TrustedKeys | None:
        return _read_keys(files[unit_id]) if unit_id in files else None

    return keys_of


def _read_keys(path: Path) -> TrustedKeys:
    try:
        return TrustedKeys.from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # a SignatureError is one
        remedy = "remove it and enrol the unit again, or give --key unit.jwk"
        raise CsuSettingsError(f"{path} is damaged: {error}; {remedy}") from error
