"""The one place that takes credentials out of text."""

import re

from edge_agent.capture.address import split_credentials

_ADDRESS = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)(?P<rest>\S*)", re.IGNORECASE)
_FIELD = re.compile(
    r"(?P<name>\b(?:user(?:name)?|usr|login|pass(?:word|wd|wort)?|pwd|psw|token|auth|secret|key|sig(?:nature)?)=)"
    r"[^&;#\s'\"]*",
    re.IGNORECASE,
)
_HEADER = re.compile(r"(?P<name>\b(?:proxy-)?authorization:\s*)[^\r\n]*", re.IGNORECASE)
_HIDDEN = "***"


def redact(text: str) -> str:
    """`text` with the credentials of every address in it hidden.

    Hidden are the user information of `scheme://user:password@host`, the values of fields such as `password=` or
    `token=` anywhere, which many cameras take in the path, and `Authorization:` headers.
    """
    text = _ADDRESS.sub(_hide_user, text)
    text = _FIELD.sub(_hide_value, text)
    return _HEADER.sub(_hide_value, text)


def _hide_user(match: re.Match[str]) -> str:
    user, place = split_credentials(match["rest"])
    return match["scheme"] + (f"{_HIDDEN}@{place}" if user else place)


def _hide_value(match: re.Match[str]) -> str:
    return match["name"] + _HIDDEN
