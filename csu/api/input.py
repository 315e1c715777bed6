"""What requests bring, checked at the border: bodies and query parameters, by models.

A parameter that is not known, comes twice or is of another kind is refused by name, with what is expected there: a
mistyped filter must not pass for none.
"""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar, get_args

from aiohttp import web
from pydantic import BeforeValidator, Field, StringConstraints, ValidationError, WithJsonSchema

from csu.errors import ContractError, RequestRefusedError
from edge_agent.contract.commands import Role
from edge_agent.contract.model import ContractModel, first_problem
from edge_agent.contract.names import CAMERA_NAME_PATTERN, UNIT_ID_PATTERN, UUID_PATTERN

MAX_BODY_BYTES = 65_536
MAX_LIST = 1000
_BODY_TIMEOUT_S = 20.0
_DEFAULT_LIST = 100

EXPECTED = {
    "unit_id": "2 to 31 lower-case letters, digits and hyphens, such as nomad-07",
    "jwk": "the unit's public key as a JSON object (RFC 7517)",
    "cmd": "the name of a command, such as clip.request",
    "params": "the command's parameters as a JSON object",
    "operator": "who gives it, 1 to 200 characters",
    "role": f"one of {', '.join(get_args(Role))}",
    "reference": "that of the requisition, 1 to 200 characters",
    "purpose": "1 to 200 characters",
    "lifetime_s": "a whole number of seconds, 1 or more",
    "limit": f"a whole number from 1 to {MAX_LIST}",
    "cursor": "what the header Next-Cursor, or `cursor`, of the last answer said",
    "camera": "a camera's name: up to 31 lower-case letters, digits and hyphens",
    "from": "a time as RFC 3339 with an offset, such as 2026-03-29T01:30:00.000Z",
    "to": "a time as RFC 3339 with an offset, such as 2026-03-29T01:30:00.000Z",
    "kind": "health or position",
    "open": "true or false",
    "day": "a day of the calendar, such as 2026-03-29",
    "note": "at most 2000 characters",
}
"""What a field of a request has to be, for who wrote it; of the others the model's words are told."""


def _whole_number(value: object) -> object:
    if isinstance(value, str) and (len(value) > 6 or not (value.isascii() and value.isdigit())):
        raise ValueError("not a whole number")
    return value


def _truth(value: object) -> object:
    if isinstance(value, str) and value not in {"true", "false"}:
        raise ValueError("neither true nor false")
    return value


Limit = Annotated[int, Field(ge=1, le=MAX_LIST), BeforeValidator(_whole_number)]
Truth = Annotated[bool, BeforeValidator(_truth), WithJsonSchema({"type": "boolean"})]
Cursor = Annotated[str, StringConstraints(min_length=1, max_length=400, pattern=r"^[A-Za-z0-9_-]+$")]
UnitName = Annotated[str, StringConstraints(pattern=UNIT_ID_PATTERN)]
UNIT_ID = {"unit_id": {"type": "string", "pattern": UNIT_ID_PATTERN}}
"""The schema of a path's variable part."""
CAMERA = {"type": "string", "pattern": CAMERA_NAME_PATTERN}
UUID = {"type": "string", "pattern": UUID_PATTERN}


class NoQuery(ContractModel):
    """No parameter."""


class UnitQuery(ContractModel):
    """One unit, or all."""

    unit_id: UnitName | None = None


class ListQuery(UnitQuery):
    """The last so many of a list."""

    limit: Limit = _DEFAULT_LIST


class PageQuery(ListQuery):
    """A page of a list."""

    cursor: Cursor | None = None


Model = TypeVar("Model", bound=ContractModel)


async def read_body(model: type[Model], request: web.Request) -> Model:
    """A request's body.

    Raises:
        RequestRefusedError: it is not of that shape, too long, or does not come; the message begins with the first
            wrong field and says what is expected there.
    """
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        words = "Content-Encoding: a body is taken as it is (identity)"
        raise RequestRefusedError("media-type-unsupported", words, 415)
    try:
        async with asyncio.timeout(_BODY_TIMEOUT_S):
            data = await request.read()
    except TimeoutError as error:
        raise RequestRefusedError("too-slow", f"the body did not come within {_BODY_TIMEOUT_S:g} s", 408) from error
    try:
        return model.from_json(data, MAX_BODY_BYTES)
    except ContractError as error:
        raise _refusal(error.__cause__, str(error)) from error


def read_query(model: type[Model], request: web.BaseRequest) -> Model:
    """A request's query parameters.

    Raises:
        RequestRefusedError: one is unknown, comes twice, or is not what it has to be; its name comes first.
    """
    query = request.query
    known = {field.alias or name for name, field in model.model_fields.items()}
    for name in query:
        if name not in known:
            raise RequestRefusedError("parameters-invalid", f"{name:.60}: unknown here{_choice(known)}")
        if len(query.getall(name)) > 1:
            raise RequestRefusedError("parameters-invalid", f"{name}: given more than once")
    return checked(model, dict(query))


def checked(model: type[Model], values: Mapping[str, Any]) -> Model:
    """Values by a model.

    Raises:
        RequestRefusedError: as `read_query`.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise _refusal(error, "") from error


def _choice(known: set[str]) -> str:
    return f"; there are: {', '.join(sorted(known))}" if known else "; this path takes no parameters"


def _refusal(error: BaseException | None, words: str) -> RequestRefusedError:
    if isinstance(error, ValidationError):
        place = error.errors(include_url=False, include_input=False)[0]["loc"]
        field = str(place[0]) if place else ""
        words = f"{field}: expected {EXPECTED[field]}" if field in EXPECTED else first_problem(error)
    return RequestRefusedError("parameters-invalid", words)
