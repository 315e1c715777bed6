"""A route of the API as data: aiohttp serves it and the OpenAPI document is made from it, so that both say one."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from edge_agent.contract.model import ContractModel

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a route answers when all is well.

    Attributes:
        model: of the JSON body, or of each of its items; None for what is no JSON.
        is_list: an array of the model.
        status: of HTTP.
        content_type: of the body.
        other_types: what the body may be instead.
        headers: further headers and what they say.
        description: for the document.
    """

    model: type[ContractModel] | None
    is_list: bool = False
    status: int = 200
    content_type: str = "application/json"
    other_types: tuple[str, ...] = ()
    headers: dict[str, str] = field(default_factory=dict)
    description: str = "As asked."


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path.

    Attributes:
        method: of HTTP.
        path: with `{names}` of its variable parts.
        handler: answers.
        summary: one line for people.
        answer: when all is well.
        query: the parameters that it takes, by a model's fields; None for none.
        body: of the request.
        errors: statuses of refusals beside 400, 401 and 503.
        path_types: schemas of the path's variable parts, by name; text where nothing is said.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    answer: Answer
    query: type[ContractModel] | None = None
    body: type[ContractModel] | None = None
    errors: tuple[int, ...] = ()
    path_types: dict[str, Any] = field(default_factory=dict)

    def of_aiohttp(self) -> web.RouteDef:
        """For an application's router; HEAD comes with GET (RFC 9110 §9.3.2), but not for what has no end."""
        if self.method == "GET":
            return web.get(self.path, self.handler, allow_head=not is_endless(self))
        return web.route(self.method, self.path, self.handler)


def is_endless(route: Route) -> bool:
    """Whether the answer goes on until somebody ends it."""
    return route.answer.content_type in {"application/x-ndjson", "text/event-stream"}


def json_of(record: ContractModel, status: int = 200) -> web.Response:
    """A model as the body of an answer."""
    return web.json_response(record.to_object(), status=status)


async def json_list(records: Sequence[ContractModel | Mapping[str, Any]], cursor: str | None = None) -> web.Response:
    """Models or objects as an array; where the next page begins, in the header `Next-Cursor`."""
    headers = {} if cursor is None else {NEXT_CURSOR: cursor}
    # One after another and in a thread: a long list encoded as a whole would hold everything else up.
    text = await asyncio.to_thread(lambda: f"[{','.join(map(_text_of, records))}]")
    return web.Response(text=text, content_type="application/json", headers=headers)


def _text_of(record: ContractModel | Mapping[str, Any]) -> str:
    return json.dumps(record.to_object() if isinstance(record, ContractModel) else record)


NEXT_CURSOR = "Next-Cursor"
"""Response header: what `cursor` of the next request has to be; absent after the last page."""
