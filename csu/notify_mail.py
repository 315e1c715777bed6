"""Notifications by mail: one connection a message, encrypted unless it stays on this machine."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

import aiosmtplib

from csu.errors import NotifyError
from csu.notify_channel import Batch, Pace
from csu.notify_settings import Mail
from csu.notify_words import Words

TIMEOUT_S = 60.0
_STEP_TIMEOUT_S = 20.0
PACE = Pace(gather_s=5.0, interval_s=60.0, burst=6, slow_interval_s=900.0, quiet_after=2, batch=500)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class MailChannel:
    """One list of addresses."""

    def __init__(self, settings: Mail, words: Words, pace: Pace = PACE) -> None:
        """Prepare; blocks for reading the login.

        Raises:
            CsuSettingsError: the login or the authorities cannot be read.
        """
        self.settings: Mail = settings
        self.pace = pace
        self._words = words
        self._login = settings.login()
        self._tls = ssl.create_default_context(cafile=settings.ca_file)

    async def send(self, batch: Batch) -> None:
        """Make one attempt.

        Raises:
            NotifyError: the other end did not take it.
        """
        user, password = self._login or (None, None)
        security, host = self.settings.security, self.settings.host
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await aiosmtplib.send(
                    self.message_of(batch),
                    hostname=host,
                    port=self.settings.port,
                    username=user,
                    password=password,
                    use_tls=security == "tls",
                    start_tls=security == "starttls",
                    tls_context=self._tls,
                    timeout=_STEP_TIMEOUT_S,
                    local_hostname=self.settings.sender.rpartition("@")[2],
                )
        except aiosmtplib.SMTPResponseException as error:
            raise NotifyError(f"{host}: {type(error).__name__}, code {error.code}") from error
        except (aiosmtplib.SMTPException, TimeoutError, OSError, ValueError) as error:
            raise NotifyError(f"{host}: {type(error).__name__}") from error

    def message_of(self, batch: Batch) -> EmailMessage:
        """The message; its id is the same at every attempt (RFC 5322 §3.6.4), and no robot answers it (RFC 3834)."""
        text = self._words.text_of(batch.notices, batch.left_out)
        message = EmailMessage(policy=SMTP)
        message["From"] = self.settings.sender
        message["To"] = ", ".join(self.settings.to)
        message["Subject"] = text.subject
        message["Date"] = format_datetime(_EPOCH + timedelta(microseconds=batch.sent_us))
        message["Message-ID"] = f"<{batch.batch_id}@{self.settings.sender.rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(text.body, cte="quoted-printable")
        return message


async def make_mail(settings: Mail, words: Words) -> MailChannel:
    """Prepare one without blocking the event loop.

    Raises:
        CsuSettingsError: the login or the authorities cannot be read.
    """
    return await asyncio.to_thread(MailChannel, settings, words)
