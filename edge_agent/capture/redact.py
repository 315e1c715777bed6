"""The one place that takes credentials out of text."""

import re

_AUTHORITY = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)(?P<rest>\S*)", re.IGNORECASE)
_CLEAN_HOST = re.compile(r"(\[[0-9a-f:.%]+\]|[a-z0-9._-]+)(:\d*)?(?=[/?#]|$)", re.IGNORECASE)
_SECRET_FIELD = re.compile(
    r"(?P<name>\b(?:user(?:name)?|usr|login|pass(?:word|wd|wort)?|pwd|psw|token|auth|secret|key|sig(?:nature)?)=)[^&;#\s'\"]*",
    re.IGNORECASE,
)
_HEADER = re.compile(r"(?P<name>\b(?:proxy-)?authorization:\s*)[^\r\n]*", re.IGNORECASE)
_HIDDEN = "***"


def redact(text: str) -> str:
    """`text` with the credentials of every address in it hidden.

    Hidden are the user information of `scheme://user:password@host` (up to the last `@`, since cameras' passwords
    are written with any character in them), the values of fields such as `password=` or `token=` anywhere, which many
    cameras take in the path, and `Authorization:` headers.
    """
    text = _AUTHORITY.sub(_hide_user, text)
    text = _SECRET_FIELD.sub(lambda match: match["name"] + _HIDDEN, text)
    return _HEADER.sub(lambda match: match["name"] + _HIDDEN, text)


def _hide_user(match: re.Match[str]) -> str:
    rest = match["rest"]
    if _CLEAN_HOST.match(rest):
        return match["scheme"] + rest  # an `@` further back belongs to the path
    _, at, behind = rest.rpartition("@")
    return match["scheme"] + (f"{_HIDDEN}@{behind}" if at else rest)
