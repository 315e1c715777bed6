"""Notifications by HTTP POST, signed as Standard Webhooks 1.0 has it (standardwebhooks.com, "Webhook signature").

`webhook-id` is the same at every attempt, `webhook-timestamp` says when it was sent, `webhook-signature` is `v1,` and
the base64 of HMAC-SHA256 over `id.timestamp.body`. Any 2xx means taken; a redirection is not followed.
"""

import asyncio
import hmac
import ssl
from base64 import b64encode
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from csu.errors import NotifyError
from csu.notify_channel import Batch, Pace
from csu.notify_settings import Webhook
from csu.notify_words import Words
from edge_agent import __version__
from edge_agent.contract.model import canonical_json
from edge_agent.contract.times import format_utc

TIMEOUT_S = 15.0
PACE = Pace(gather_s=0.2, interval_s=1.0, burst=600, slow_interval_s=10.0, quiet_after=1000, batch=100)


class WebhookChannel:
    """One address."""

    def __init__(self, settings: Webhook, words: Words, pace: Pace = PACE) -> None:
        """Prepare; blocks for reading the secret.

        Raises:
            CsuSettingsError: the secret or the authorities cannot be read.
        """
        self.settings = settings
        self.pace = pace
        self._words = words
        self._secret = settings.secret()
        self._host = urlsplit(settings.url).hostname or ""
        self._tls = ssl.create_default_context(cafile=settings.ca_file)

    async def send(self, batch: Batch) -> None:
        """Make one attempt.

        Raises:
            NotifyError: the other end did not take it.
        """
        body = canonical_json(self._document(batch))
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(
                    self.settings.url,
                    data=body,
                    headers=self._headers(batch, body),
                    ssl=self._tls,
                    allow_redirects=False,
                ) as answer,
            ):
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise NotifyError(f"{self._host}: {type(error).__name__}") from error
        if not 200 <= status < 300:
            raise NotifyError(f"{self._host} answered {status}")

    def _headers(self, batch: Batch, body: bytes) -> dict[str, str]:
        sent_s = batch.sent_us // 1_000_000
        signed = f"{batch.batch_id}.{sent_s}.".encode() + body
        signature = b64encode(hmac.digest(self._secret, signed, "sha256")).decode()
        return {
            "Content-Type": "application/json",
            "User-Agent": f"csu/{__version__}",
            "webhook-id": batch.batch_id,
            "webhook-timestamp": str(sent_s),
            "webhook-signature": f"v1,{signature}",
        }

    def _document(self, batch: Batch) -> dict[str, Any]:
        return {
            "schema": "notification/1",
            "id": batch.batch_id,
            "sent_at": format_utc(batch.sent_us),
            "text": self._words.text_of(batch.notices, batch.left_out).subject,
            "left_out": batch.left_out,
            "notices": [
                {
                    "notice_id": notice.notice_id,
                    "kind": notice.kind,
                    "at": format_utc(notice.made_us),
                    ("summary" if notice.kind == "summary" else "alarm"): notice.body,
                }
                for notice in batch.notices
            ],
        }


async def make_webhook(settings: Webhook, words: Words) -> WebhookChannel:
    """Prepare one without blocking the event loop.

    Raises:
        CsuSettingsError: the secret or the authorities cannot be read.
    """
    return await asyncio.to_thread(WebhookChannel, settings, words)
