"""What a request that fails is answered: always `{"error": {"code", "message"}}`, whatever went wrong where."""

import logging
from http import HTTPStatus

from aiohttp import web

from csu.errors import ContractError, CsuError, CsuSettingsError, RequestRefusedError

_log = logging.getLogger(__name__)

MAX_MESSAGE_CHARACTERS = 500
_CODES = {
    401: "not-authorised",
    403: "not-allowed",
    404: "not-found",
    405: "method-not-allowed",
    408: "too-slow",
    413: "too-large",
    414: "too-large",
    415: "media-type-unsupported",
    431: "too-large",
}
_WORDS = {
    404: "there is nothing at this path; GET /v1/openapi.json says what there is",
    405: "this path does not take this method; the header Allow says which",
    413: "the body is longer than what is read here",
}


def error_answer(code: str, message: str, status: int, headers: dict[str, str] | None = None) -> web.Response:
    """The body of every refusal."""
    words = message if len(message) <= MAX_MESSAGE_CHARACTERS else f"{message[: MAX_MESSAGE_CHARACTERS - 1]}…"
    return web.json_response({"error": {"code": code, "message": words}}, status=status, headers=headers)


def answer_of_status(status: int, reason: str, headers: dict[str, str] | None = None) -> web.Response:
    """For what aiohttp refuses by itself."""
    return error_answer(_CODES.get(status, "refused"), _WORDS.get(status, reason), status, headers)


def answer_to(error: Exception, request: web.BaseRequest) -> web.Response:
    """The answer to a request that ended with an exception; a defect's words stay in the log."""
    match error:
        case RequestRefusedError():
            return error_answer(error.code, str(error), error.status, error.headers)
        case ContractError() | CsuSettingsError():
            return error_answer("parameters-invalid", str(error), 400)
        case CsuError():
            return error_answer("unavailable", str(error), 503)
        case web.HTTPException():
            return answer_of_status(error.status, error.reason, _kept(error))
        case OSError():
            _log.exception("%s %s: storage", request.method, request.path)
            return error_answer("storage-error", f"storage: {error.strerror}", 503)
        case ValueError() | OverflowError():  # what passes the models and no calendar or database holds
            return error_answer("parameters-invalid", f"a value cannot be used: {error}", 400)
        case _:
            _log.exception("%s %s", request.method, request.path)
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            return error_answer("internal", "a defect of this service; its log says more", status)


def _kept(error: web.HTTPException) -> dict[str, str]:
    return {name: error.headers[name] for name in ("Allow", "Location") if name in error.headers}
