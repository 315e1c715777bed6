"""`csu expel`: shut a unit out, such as one that was stolen."""

import argparse

from csu.cli.common import OK, Context, add_dir, unit_id


def add_to(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The subcommand's arguments."""
    parser = subcommands.add_parser("expel", help="shut a unit out: it can neither speak nor upload any more")
    add_dir(parser)
    parser.add_argument("unit", type=unit_id, metavar="UNIT", help="its id")
    parser.set_defaults(run=run)


def run(context: Context) -> int:
    """Shut it out; what it delivered stays."""
    unit_id, directory = context.arguments.unit, context.arguments.dir
    own_broker = context.client.expel(unit_id)
    print(f"{unit_id} is shut out; its public keys are kept in {directory / 'keys' / 'expelled'} to verify its clips")
    if not own_broker:
        print(f"the broker is not the centre's own: remove its user {unit_id} there")
    return OK
