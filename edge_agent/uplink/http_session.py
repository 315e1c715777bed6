"""The HTTP session of uploads: TLS by the settings, no cookies, no proxies from the environment."""

import asyncio
import socket
import ssl
from functools import partial

import aiohttp
from yarl import URL

from edge_agent.errors import SettingsError
from edge_agent.settings import UploadSettings

_MAX_HEADER_BYTES = 8190
_KEEPALIVE_S = 30.0


async def open_session(settings: UploadSettings) -> aiohttp.ClientSession:
    """A session; the caller closes it.

    Raises:
        SettingsError: a TLS file cannot be used.
    """
    context = await asyncio.to_thread(_tls_context, settings)
    connector = aiohttp.TCPConnector(
        ssl=context,
        limit=settings.concurrent + 2,
        keepalive_timeout=_KEEPALIVE_S,
        socket_factory=partial(_marked_socket, settings.dscp),
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=("Content-Type", "Accept", "Accept-Encoding"),
        headers={"User-Agent": "edge-agent"},
        auto_decompress=False,
        trust_env=False,
        max_line_size=_MAX_HEADER_BYTES,
        max_field_size=_MAX_HEADER_BYTES,
    )


def _marked_socket(dscp: int, address: aiohttp.AddrInfoType) -> socket.socket:
    """A socket whose packets carry the mark; its two lowest bits are not ours (RFC 3168)."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    if dscp and family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, dscp << 2)
    elif dscp:
        made.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, dscp << 2)
    return made


def _tls_context(settings: UploadSettings) -> ssl.SSLContext | bool:
    if URL(settings.url).scheme != "https" and settings.ca_file is None:
        return True
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if settings.certificate_file is not None:
            context.load_cert_chain(settings.certificate_file, settings.key_file)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"[upload] ca_file, certificate_file or key_file cannot be used: {error}") from error
    return context
