"""Loaded by schemathesis: puts ids that there are in the place of some of the invented ones, and judges refusals."""

import re
import zlib
from typing import Any

import schemathesis
from schemathesis.specs.openapi.checks import positive_data_acceptance

from edge_agent.contract.names import UNIT_ID_PATTERN
from tests.real.seeded_centre import CLIP_ID, UNIT_ID

_KNOWN = {"unit_id": UNIT_ID, "clip_id": CLIP_ID, "command_id": CLIP_ID}


def _is_kept(value: object) -> bool:
    """One of three keeps what was invented."""
    return zlib.crc32(repr(value).encode()) % 3 == 0


def _is(context: schemathesis.HookContext, method: str, path: str | None = None) -> bool:
    operation = context.operation
    return operation is not None and operation.method.upper() == method and path in {None, operation.path}


@schemathesis.hook
def map_path_parameters(context: schemathesis.HookContext, path_parameters: dict[str, Any] | None) -> object:
    """Most requests ask for what there is; nothing that there is is shut out."""
    if not path_parameters or _is(context, "DELETE") or _is_kept(path_parameters):
        return path_parameters
    return {name: _KNOWN.get(name, value) for name, value in path_parameters.items()}


@schemathesis.hook
def map_body(context: schemathesis.HookContext, body: object) -> object:
    """Most commands go to a unit that there is."""
    if not _is(context, "POST", "/v1/commands") or not isinstance(body, dict) or _is_kept(body):
        return body
    is_name = re.fullmatch(UNIT_ID_PATTERN, str(body.get("unit_id")))
    return body | {"unit_id": UNIT_ID} if is_name else body


@schemathesis.check
def accepts_what_it_says(
    context: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case[Any]
) -> bool | None:
    """What the document allows is taken; what no schema can say: a cursor, and where the calendar ends."""
    is_cursor = response.status_code == 400 and response.json()["error"]["code"] == "cursor-invalid"
    times = [str(value) for value in (case.query or {}).values()]
    if is_cursor or any(value.startswith(("0001-01-01", "9999-12-31")) for value in times):
        return None
    return positive_data_acceptance(context, response, case)
