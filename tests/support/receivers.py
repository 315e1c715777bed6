"""Who is told by notifications: a webhook's receiver (http.server) and a mail server (aiosmtpd), each in a thread."""

import asyncio
import hmac
import json
import ssl
import threading
from base64 import b64encode
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

SECRET = b"ABC" * 8
SECRET_TEXT = "whsec_" + "QUJD" * 8


def server_context(pair: tuple[Path, Path]) -> ssl.SSLContext:
    """TLS of a server with a certificate and its key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    return context


@dataclass
class HookReceiver:
    """Checks signatures as Standard Webhooks has them; answers with `status`, 401 to a wrong signature."""

    tls: ssl.SSLContext | None = None
    status: int = 204
    port: int = 0
    documents: list[dict[str, Any]] = field(default_factory=list)
    """Those that were taken."""
    ids: list[str] = field(default_factory=list)
    """Of every attempt."""
    forged: int = 0

    def start(self) -> "HookReceiver":
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(receiver.take(dict(self.headers.items()), body))
                if receiver.status in range(300, 400):
                    self.send_header("Location", f"http://127.0.0.1:{receiver.port}/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class names it so
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        if self.tls is not None:
            self._server.socket = self.tls.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    @property
    def url(self) -> str:
        return f"http{'s' * (self.tls is not None)}://127.0.0.1:{self.port}/told"

    @property
    def notices(self) -> list[dict[str, Any]]:
        """All that were taken, one after another."""
        return [notice for document in self.documents for notice in document["notices"]]

    def take(self, headers: dict[str, str], body: bytes) -> int:
        status = self.status  # a test may change it meanwhile
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        expected = "v1," + b64encode(hmac.digest(SECRET, signed, "sha256")).decode()
        self.ids.append(headers["webhook-id"])
        if not hmac.compare_digest(expected, headers["webhook-signature"]):
            self.forged += 1
            return 401
        if 200 <= status < 300:
            self.documents.append(json.loads(body))
        return status


@dataclass
class MailServer:
    """Takes mail, over STARTTLS or TLS and with a login where it is told so."""

    tls: ssl.SSLContext | None = None
    is_tls_at_once: bool = False
    login: tuple[str, str] | None = None
    port: int = 0
    answer: str = "250 taken"
    messages: list[EmailMessage] = field(default_factory=list)
    was_encrypted: list[bool] = field(default_factory=list)
    was_signed_in: list[bool] = field(default_factory=list)

    def start(self) -> "MailServer":
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 -- aiosmtpd's
        if self.answer.startswith("250"):
            content = envelope.content or b""
            assert isinstance(content, bytes)
            message = message_from_bytes(content, policy=default)
            assert isinstance(message, EmailMessage)
            self.messages.append(message)
            self.was_encrypted.append(self.is_tls_at_once or session.ssl is not None)
            self.was_signed_in.append(bool(session.authenticated))
        return self.answer

    async def _listen(self) -> asyncio.Server:
        starttls = None if self.is_tls_at_once else self.tls
        at_once = self.tls if self.is_tls_at_once else None
        return await self._loop.create_server(lambda: self._make(starttls), "127.0.0.1", self.port, ssl=at_once)

    def _make(self, starttls: ssl.SSLContext | None) -> SMTP:
        return SMTP(
            self,
            tls_context=starttls,
            require_starttls=starttls is not None,
            auth_required=self.login is not None and starttls is not None,
            auth_require_tls=not self.is_tls_at_once,
            authenticator=self._authenticate,
            hostname="smtp.test",
            loop=self._loop,
        )

    def _authenticate(self, *arguments: object) -> AuthResult:
        given = arguments[-1]
        assert isinstance(given, LoginPassword)
        is_right = (given.login.decode(), given.password.decode()) == self.login
        return AuthResult(success=is_right, handled=is_right)

    async def _end(self) -> None:
        self._server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
