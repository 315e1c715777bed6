"""Who may ask: a bearer token, or the page's cookie with what a browser has to show beside it.

A token in a header is never sent by a browser on its own. A cookie is, so a request that comes with it has to show
that it is the page's own: `Host` names the loopback interface and no name that somebody's DNS gave that address (DNS
rebinding); what the browser says of its origin (`Sec-Fetch-Site`, Fetch Metadata; `Origin`, RFC 6454) is this one;
and what changes something is JSON, which no form sends.
"""

import hmac
from urllib.parse import urlsplit

from aiohttp import web

from csu.api.errors import answer_to
from csu.api.packing import pack_json
from csu.api.route import Handler
from csu.errors import RequestRefusedError
from csu.page_session import Sessions

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_SAFE = {"GET", "HEAD"}
_OPEN = ("/assets/",)
"""Code that anybody may have, it is published."""
_OPEN_PATHS = {"/", "/sign-in"}

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


class Guard:
    """The middleware, and the headers of every answer."""

    def __init__(self, token: str, sessions: Sessions, tile_origin: str | None) -> None:
        self._token = f"Bearer {token}".encode()
        self._sessions = sessions
        self._policy = _content_policy(tile_origin)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let a request through or refuse it; whatever goes wrong behind becomes an answer."""
        try:
            self._check(request)
            return pack_json(request, await handler(request))
        except ConnectionError:
            raise  # nobody is left to answer
        except Exception as error:  # one odd request must not go without an answer
            answer = answer_to(error, request)
            if request.writer.output_size > 0:  # an answer was begun, and no other can follow in its place
                raise ConnectionError("the answer breaks off") from error
            return answer

    async def add_headers(self, _request: web.BaseRequest, response: web.StreamResponse) -> None:
        """For `on_response_prepare`: what browsers are told of every answer."""
        response.headers.update(SECURITY_HEADERS)
        response.headers["Content-Security-Policy"] = self._policy
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers.pop("Server", None)

    def is_signed_in(self, request: web.BaseRequest) -> bool:
        """Whether the page's cookie came and holds."""
        return self._sessions.holds(request.cookies.get(cookie_name(request), ""))

    def _check(self, request: web.Request) -> None:
        if "Authorization" in request.headers:
            given = request.headers["Authorization"].encode("utf-8", "surrogateescape")
            if hmac.compare_digest(given, self._token):
                return
            raise _unknown()
        _check_host(request)
        if request.path in _OPEN_PATHS or request.path.startswith(_OPEN):
            return
        if not self.is_signed_in(request):
            raise _unknown()
        _check_origin(request)


def _unknown() -> RequestRefusedError:
    words = "the token in api.token is missing or wrong; the page is signed in with: csu page"
    return RequestRefusedError("not-authorised", words, 401, {"WWW-Authenticate": 'Bearer realm="csu"'})


def cookie_name(request: web.BaseRequest) -> str:
    """A cookie is of a host, whatever the port (RFC 6265 §8.5): the name keeps two services apart."""
    sockname = request.get_extra_info("sockname")
    return f"csu-session-{sockname[1] if sockname else 0}"


def _check_host(request: web.BaseRequest) -> None:
    """A port is not looked at: it differs through a tunnel, and names no other origin's pages of ours."""
    try:
        host = urlsplit(f"//{request.headers.get('Host', '')}").hostname
    except ValueError:
        host = None
    if host not in _LOOPBACK:
        raise RequestRefusedError(
            "host-not-allowed", "the page is reached as 127.0.0.1 or localhost, by no other name", 421
        )


def _check_origin(request: web.BaseRequest) -> None:
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    here = f"http://{request.headers.get('Host', '')}"
    is_safe = request.method in _SAFE
    if site not in {None, "same-origin", *(("none",) if is_safe else ())} or origin not in {None, here}:
        raise RequestRefusedError("origin-not-allowed", "another page may not use this one's session", 403)
    if is_safe:
        return
    if site is None and origin is None:
        words = "with the page's session, Sec-Fetch-Site or Origin has to be given; programs use the token"
        raise RequestRefusedError("origin-not-allowed", words, 403)
    if request.method != "DELETE" and request.content_type != "application/json":
        raise RequestRefusedError("media-type-unsupported", "Content-Type: expected application/json", 415)


def _content_policy(tile_origin: str | None) -> str:
    """Content Security Policy Level 3: all of the page comes from here; tiles from where they are configured."""
    images = "'self' data:" + (f" {tile_origin}" if tile_origin else "")
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self'; img-src {images}; media-src 'self'; "
        "connect-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
