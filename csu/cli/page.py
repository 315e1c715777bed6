"""`csu page`: the address that signs a browser in at the page of the service, once."""

import argparse
import webbrowser
from urllib.parse import urlencode

from csu.cli.common import FAILED, OK, Context, add_dir, complain
from csu.errors import ServiceUnreachableError
from csu.page_session import TICKET_LIFETIME_S, make_ticket
from csu.service_info import token_file


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
    address = sign_in_address(context)
    if not context.arguments.open:
        print(address)
        return OK
    if webbrowser.open(address):
        return OK
    complain("no browser could be opened; without --open the address is printed")
    return FAILED


def sign_in_address(context: Context) -> str:
    """An address that signs in once.

    Raises:
        ServiceUnreachableError: no service runs on the directory, or its token cannot be read.
    """
    info = context.client.info()
    try:
        token = token_file(context.arguments.dir).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ServiceUnreachableError(f"the token of the service cannot be read: {error}") from error
    query = urlencode({"token": make_ticket(token, context.clock.wall_us())})
    return f"{info.api_url}/sign-in?{query}"
