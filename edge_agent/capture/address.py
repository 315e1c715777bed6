"""A camera's address, taken apart: passwords are written with any character in them."""

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

_CLEAN_HOST = re.compile(r"(\[[0-9a-f:.%]+\]|[a-z0-9._-]+)(:\d+)?(?=[/?#]|$)", re.IGNORECASE)


def split_credentials(rest: str) -> tuple[str, str]:
    """What follows `scheme://`, split into user information and the remainder.

    A host that is followed at once by a path, a query or the end has no user information, whatever `@` comes later;
    otherwise the user information reaches to the last `@`, so that `user:p@ss/word@host` is understood.
    """
    if _CLEAN_HOST.match(rest):
        return "", rest
    user, _, remainder = rest.rpartition("@")
    return user, remainder


@dataclass(frozen=True, slots=True)
class CameraAddress:
    """An address with its credentials apart; its text form has none.

    Attributes:
        scheme: lower case.
        place: host, port, path and query.
        user: plain text, empty when there is none.
        password: plain text.
    """

    scheme: str
    place: str
    user: str
    password: str

    @classmethod
    def parse(cls, text: str) -> "CameraAddress":
        """Take an address apart.

        Raises:
            ValueError: no host, or an impossible port; the message repeats nothing of the address.
        """
        scheme, mark, rest = text.partition("://")
        if not mark:
            raise ValueError("it has no host; expected rtsp://user:password@host:554/path")
        credentials, place = split_credentials(rest)
        try:
            parts = urlsplit(f"//{place}")
            usable = bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable:
            raise ValueError("its host or port is not usable; expected rtsp://user:password@host:554/path")
        user, _, password = credentials.partition(":")
        return cls(scheme.lower(), place, unquote(user), unquote(password))

    def for_libav(self) -> str:
        """The address as libav takes it, credentials percent-encoded."""
        if not self.user and not self.password:
            return f"{self.scheme}://{self.place}"
        return f"{self.scheme}://{quote(self.user, safe='')}:{quote(self.password, safe='')}@{self.place}"
