"""The one place that takes credentials out of text."""

import re

_ADDRESS = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)(?P<rest>\S*)", re.IGNORECASE)
_FIELD = re.compile(
    r"(?P<name>\b(?:user(?:name)?|usr|login|pass(?:word|wd|wort|phrase)?|pwd|psw|token|auth|secret|key|sig(?:nature)?"
    r"|(?:user|proxy)-(?:id|pw))=)"
    r"(?:\"[^\"]*\"?|'[^']*'?|[^&;#\s'\"]*)",
    re.IGNORECASE,
)
_HEADER = re.compile(r"(?P<name>\b(?:proxy-)?authorization:\s*)[^\r\n]*", re.IGNORECASE)
_HIDDEN = "***"


def redact(text: str) -> str:
    """`text` with the credentials of every address in it hidden.

    Hidden are everything up to the last `@` of an address, since passwords are written with any character in them (a
    path with an `@` costs the host's name in the log, which is the cheaper mistake), the values of fields such as
    `password=` or `token=` anywhere, which many cameras take in the path and GStreamer's elements as properties, and
    `Authorization:` headers.
    """
    text = _ADDRESS.sub(_hide_user, text)
    text = _FIELD.sub(_hide_value, text)
    return _HEADER.sub(_hide_value, text)


def _hide_user(match: re.Match[str]) -> str:
    _, at, place = match["rest"].rpartition("@")
    return match["scheme"] + (_HIDDEN if at else "") + at + place


def _hide_value(match: re.Match[str]) -> str:
    return match["name"] + _HIDDEN
