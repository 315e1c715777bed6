"""The OpenAPI 3.1 document of `/v1`, made from the routes and their models: what is served is what it says."""

import re
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import TypeAdapter
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from csu.api.ports import CommandRequest
from csu.api.route import Answer, Route, is_endless
from edge_agent.contract.commands import DURABLE, EPHEMERAL, NEEDS_REFERENCE, ROLES
from edge_agent.contract.model import ContractModel

_PARAMETERS = DURABLE | EPHEMERAL
_REFERENCE = "#/components/schemas/{model}"
_VARIABLE = re.compile(r"\{(\w+)\}")
_ERROR_WORDS = {
    400: "A parameter or the body is not what it has to be.",
    401: "The token or the session is missing or wrong.",
    403: "Not allowed.",
    404: "There is no such thing.",
    408: "The body did not come in time.",
    409: "Another did so before.",
    412: "The file is not the one that If-Match names.",
    413: "The body is too long.",
    415: "The body is of another kind.",
    416: "The range lies behind the end.",
    500: "A defect of this service.",
    503: "The registry, the storage or the broker does not answer.",
}
_ALWAYS = (400, 401, 403, 415, 500, 503)
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": {"type": "string", "description": "Stable, in kebab case."},
                "message": {"type": "string", "description": "For people, in English."},
            },
        }
    },
}


def make_document(routes: Iterable[Route], version: str) -> dict[str, Any]:
    """The document of some routes.

    Args:
        routes: of the API.
        version: of the software.
    """
    routes = tuple(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "CSU", "version": version, "description": "Units, commands, clips, alarms of the centre."},
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "security": [{"token": []}, {"session": []}],
        "paths": paths,
        "components": {
            "schemas": _schemas(routes) | {"Error": _ERROR},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "The content of `api.token`."},
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "csu-session",
                    "description": "The page's; its name goes on with `-` and the port.",
                },
            },
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _operation_id(route),
        "summary": route.summary,
        "parameters": [*_path_parameters(route), *_query_parameters(route)],
        "responses": {str(route.answer.status): _response(route.answer)} | _refusals(route),
    }
    if route.body is not None:
        schema = {"$ref": _REFERENCE.format(model=route.body.__name__)}
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    if is_endless(route):
        operation["x-endless"] = True
    return operation


def _operation_id(route: Route) -> str:
    words = [word for word in re.split(r"[^a-z0-9]+", route.path.removeprefix("/v1")) if word]
    return "_".join([route.method.lower(), *words])


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    text = {"type": "string", "minLength": 1, "maxLength": 200}
    return [
        {"name": name, "in": "path", "required": True, "schema": route.path_types.get(name, text)}
        for name in _VARIABLE.findall(route.path)
    ]


def _query_parameters(route: Route) -> list[dict[str, Any]]:
    if route.query is None:
        return []
    found = []
    for name, field in route.query.model_fields.items():
        annotation: Any = field.annotation if not field.metadata else _annotated(field)
        schema = _without_null(TypeAdapter(annotation).json_schema())
        parameter = {"name": field.alias or name, "in": "query", "required": field.is_required(), "schema": schema}
        found.append(parameter)
    return found


def _annotated(field: FieldInfo) -> Any:  # noqa: ANN401 -- a type
    return Annotated[(field.annotation, *field.metadata)]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter is absent and never null."""
    choices = [choice for choice in schema.get("anyOf", []) if choice != {"type": "null"}]
    return choices[0] if len(choices) == 1 else schema


def _response(answer: Answer) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    if answer.model is not None:
        reference = {"$ref": _REFERENCE.format(model=answer.model.__name__)}
        schema = {"type": "array", "items": reference} if answer.is_list else reference
    response: dict[str, Any] = {
        "description": answer.description,
        "content": {
            name: {"schema": schema} if schema else {} for name in (answer.content_type, *answer.other_types)
        },
    }
    if answer.headers:
        response["headers"] = {
            name: {"description": words, "schema": {"type": "string"}} for name, words in answer.headers.items()
        }
    return response


def _refusals(route: Route) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": _REFERENCE.format(model="Error")}}}
    statuses = sorted({*_ALWAYS, *route.errors})
    return {str(status): {"description": _ERROR_WORDS[status], "content": content} for status in statuses}


def _schemas(routes: tuple[Route, ...]) -> dict[str, Any]:
    """Of all models; a field that is None is left out of every answer, so none of them has to be there."""
    modes: dict[type[ContractModel], JsonSchemaMode] = {}
    for route in routes:
        if route.answer.model is not None:
            modes.setdefault(route.answer.model, "serialization")
        if route.body is not None:
            modes[route.body] = "validation"
    modes |= dict.fromkeys(_PARAMETERS.values(), "validation")
    _, document = models_json_schema(list(modes.items()), by_alias=True, ref_template=_REFERENCE)
    schemas = dict(document.get("$defs", {}))
    if CommandRequest.__name__ in schemas:
        schemas[CommandRequest.__name__]["oneOf"] = [_command(name, model) for name, model in _PARAMETERS.items()]
    return schemas


def _command(name: str, model: type[ContractModel]) -> dict[str, Any]:
    """One kind of `CommandRequest`: its name, its parameters, and who may give it."""
    needed = ["params"] if model.model_json_schema(by_alias=True).get("required") else []
    words = {"type": "string", "minLength": 1}
    footage = {"reference": words, "purpose": words} if name in NEEDS_REFERENCE else {}
    return {
        "title": name,
        "properties": {"cmd": {"const": name}, "params": {"$ref": _REFERENCE.format(model=model.__name__)}} | footage,
        "required": ["cmd", *needed, *footage],
        "description": f"By: {', '.join(sorted(ROLES[name]))}.",
    }
