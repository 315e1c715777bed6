"""`csu page`: the address that signs a browser in at the page of the service, once."""

import argparse
import webbrowser

from csu.cli.common import FAILED, OK, Context, add_dir, complain
from csu.page_session import TICKET_LIFETIME_S


def add_to(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The subcommand's arguments."""
    minutes = TICKET_LIFETIME_S // 60
    parser = subcommands.add_parser(
        "page", help="the address of the page", description=f"The address works once, within {minutes} minutes."
    )
    add_dir(parser)
    parser.add_argument("--open", action="store_true", help="open it in this machine's browser")
    parser.set_defaults(run=run)


def run(context: Context) -> int:
    """Print the address, or open it."""
    address = context.client.page_address()
    if not context.arguments.open:
        print(address)
        return OK
    if webbrowser.open(address):
        return OK
    complain("no browser could be opened; without --open the address is printed")
    return FAILED
