"""The page: its document, its assets, its sign-in and what it is told of the service."""

from aiohttp import web

from csu.api.assets import Asset, Assets
from csu.api.guard import Guard, cookie_name
from csu.api.input import NoQuery, read_query
from csu.api.ports import PageInfo, Parts
from csu.api.route import Answer, Route, json_of
from csu.errors import RequestRefusedError
from csu.page_session import SESSION_LIFETIME_S, Sessions

_FOR_EVER = "public, max-age=31536000, immutable"
"""RFC 8246; the path holds the hash of what it names."""
_ASK_AGAIN = "no-cache"
_SIGNED_OUT = """<!doctype html>
<html lang="fr"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>CSU</title></head><body><main>
<h1>Connexion</h1>
<p>Sur la machine du centre, lancez <code>csu page</code> et ouvrez l’adresse affichée ; elle ne sert qu’une fois.</p>
<h1 lang="en">Sign in</h1>
<p lang="en">On the centre’s machine, run <code>csu page</code> and open the address it prints; it works once.</p>
</main></body></html>
"""
_NO_PAGE = "the page is not installed here: its files are missing from the package; the API works without"


class PageRoutes:
    """Handlers."""

    def __init__(self, parts: Parts, guard: Guard, sessions: Sessions, assets: Assets) -> None:
        self._parts = parts
        self._guard = guard
        self._sessions = sessions
        self._assets = assets

    def routes(self) -> tuple[Route, ...]:
        """Those of the API's document."""
        return (Route("GET", "/v1/page", self._page, "What the page has to know", Answer(PageInfo), NoQuery),)

    def other_routes(self) -> tuple[web.RouteDef, ...]:
        """Those that are for browsers alone."""
        return (
            web.get("/", self._document),
            web.get("/sign-in", self._sign_in, allow_head=False),
            web.post("/sign-out", self._sign_out),
            web.get("/assets/{path:.+}", self._asset),
        )

    async def _page(self, request: web.Request) -> web.Response:
        read_query(NoQuery, request)
        return json_of(self._parts.page)

    async def _document(self, request: web.Request) -> web.Response:
        if not self._guard.is_signed_in(request):
            return web.Response(text=_SIGNED_OUT, content_type="text/html", status=401)
        if self._assets.document is None:
            raise RequestRefusedError("unavailable", _NO_PAGE, 503)
        return _send(request, self._assets.document, _ASK_AGAIN)

    async def _asset(self, request: web.Request) -> web.Response:
        found = self._assets.find(request.match_info["path"])
        if found is None:
            raise RequestRefusedError("not-found", "the page has no such file", 404)
        asset, is_versioned = found
        return _send(request, asset, _FOR_EVER if is_versioned else _ASK_AGAIN)

    async def _sign_in(self, request: web.Request) -> web.Response:
        """A ticket becomes the cookie; who is signed in already and comes again with a used one is let pass."""
        answer = web.Response(status=303, headers={"Location": "/"})
        try:
            value = self._sessions.redeem(request.query.get("token", ""))
        except RequestRefusedError:
            if not self._guard.is_signed_in(request):
                raise
            return answer
        name = cookie_name(request)
        answer.set_cookie(name, value, max_age=SESSION_LIFETIME_S, path="/", httponly=True, samesite="Strict")
        return answer

    async def _sign_out(self, request: web.Request) -> web.Response:
        answer = web.Response(status=204)
        answer.del_cookie(cookie_name(request), path="/", httponly=True, samesite="Strict")
        return answer


def _send(request: web.Request, asset: Asset, caching: str) -> web.Response:
    headers = {"ETag": asset.etag, "Cache-Control": caching, "Vary": "Accept-Encoding"}
    if asset.etag in request.headers.get("If-None-Match", "").replace("W/", ""):
        return web.Response(status=304, headers=headers)
    headers["Content-Type"] = asset.content_type
    if asset.packed is not None and "gzip" in request.headers.get("Accept-Encoding", ""):
        return web.Response(body=asset.packed, headers=headers | {"Content-Encoding": "gzip"})
    return web.Response(body=asset.content, headers=headers)
