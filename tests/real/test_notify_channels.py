"""Webhook and mail against real receivers: signature, encryption, logins, refusals, and no secret in an error."""

from collections.abc import Callable, Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from csu.errors import NotifyError
from csu.notify_channel import Batch
from csu.notify_mail import make_mail
from csu.notify_settings import Mail, Webhook
from csu.notify_webhook import make_webhook
from csu.notify_words import Words
from csu.stored_notices import Notice
from edge_agent.contract.times import format_utc
from tests.support.authority import Authority, make_authority
from tests.support.receivers import SECRET_TEXT, HookReceiver, MailServer, server_context
from tests.unit.csu.watched import NOW_US

pytestmark = pytest.mark.real

WORDS = Words("fr", ZoneInfo("Europe/Paris"))
BATCH_ID = "0197a1b2-0000-7000-8000-000000000001"
PASSWORD = "très-secret"


def batch() -> Batch:
    alarm = {
        "unit_id": "nomad-07",
        "name": "camera-lost",
        "camera": "entrée",
        "severity": "critical",
        "raised_at": format_utc(NOW_US),
        "details": {"cause": "câble coupé"},
    }
    return Batch(BATCH_ID, [Notice(1, "n1", "alarm-raised", "critical", alarm, NOW_US)], 0, NOW_US)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("ca") / "authority")


@pytest.fixture
def start() -> Iterator[Callable[[HookReceiver | MailServer], None]]:
    started: list[HookReceiver | MailServer] = []

    def start(server: HookReceiver | MailServer) -> None:
        started.append(server.start())

    yield start
    for server in started:
        server.stop()


Start = Callable[[HookReceiver | MailServer], None]


def hook_to(receiver: HookReceiver, folder: Path, ca_file: Path | None = None) -> Webhook:
    secret = folder / "secret"
    secret.write_text(SECRET_TEXT)
    secret.chmod(0o600)
    return Webhook(name="hook", url=receiver.url, secret_file=secret, ca_file=ca_file)


def mail_to(server: MailServer, folder: Path, ca_file: Path | None = None, **more: str) -> Mail:
    login = folder / "login"
    login.write_text(f"csu\n{PASSWORD}\n")
    login.chmod(0o600)
    table = {"name": "mail", "host": "127.0.0.1", "port": server.port, "from": "csu@ville.example"}
    return Mail.model_validate(
        table | {"to": ("a@ville.example", "b@ville.example"), "ca_file": ca_file, "login_file": login} | more
    )


@pytest.mark.parametrize("is_tls", [False, True])
async def test_a_webhook_is_signed_and_taken(
    tmp_path: Path, authority: Authority, start: Start, is_tls: bool
) -> None:
    receiver = HookReceiver(server_context(authority.issue("hook")) if is_tls else None)
    start(receiver)
    channel = await make_webhook(hook_to(receiver, tmp_path, authority.file if is_tls else None), WORDS)
    await channel.send(batch())
    await channel.send(batch())
    assert (receiver.forged, receiver.ids) == (0, [BATCH_ID, BATCH_ID])
    (notice,) = receiver.documents[0]["notices"]
    assert (notice["kind"], notice["alarm"]["camera"]) == ("alarm-raised", "entrée")
    assert receiver.documents[0]["text"] == "[CSU] nomad-07 : caméra sans image (entrée) (apparue)"


@pytest.mark.parametrize("status", [302, 400, 401, 404, 429, 500, 503])
async def test_a_webhook_that_is_not_taken_says_so(tmp_path: Path, start: Start, status: int) -> None:
    receiver = HookReceiver(status=status)
    start(receiver)
    channel = await make_webhook(hook_to(receiver, tmp_path), WORDS)
    with pytest.raises(NotifyError, match=f"127.0.0.1 answered {status}"):
        await channel.send(batch())
    assert receiver.ids == [BATCH_ID], "no redirection is followed"


async def test_a_certificate_of_a_stranger_gets_nothing(tmp_path: Path, authority: Authority, start: Start) -> None:
    receiver = HookReceiver(server_context(authority.issue("stranger")))
    start(receiver)
    channel = await make_webhook(hook_to(receiver, tmp_path), WORDS)
    with pytest.raises(NotifyError, match="Certificate"):
        await channel.send(batch())
    server = MailServer(server_context(authority.issue("stranger")), login=("csu", PASSWORD))
    start(server)
    mail = await make_mail(mail_to(server, tmp_path), WORDS)
    with pytest.raises(NotifyError):
        await mail.send(batch())
    assert (receiver.ids, server.messages) == ([], [])


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_mail_is_encrypted_and_signed_in(
    tmp_path: Path, authority: Authority, start: Start, security: str
) -> None:
    context = server_context(authority.issue("smtp"))
    server = MailServer(context, is_tls_at_once=security == "tls", login=("csu", PASSWORD))
    start(server)
    mail = await make_mail(mail_to(server, tmp_path, authority.file, security=security), WORDS)
    await mail.send(batch())
    (message,) = server.messages
    assert (server.was_encrypted, server.was_signed_in) == ([True], [True])
    assert message["To"] == "a@ville.example, b@ville.example"
    assert message["Message-ID"] == f"<{BATCH_ID}@ville.example>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Subject"] == "[CSU] nomad-07 : caméra sans image (entrée) (apparue)"
    assert "câble coupé" in message.get_content()


async def test_a_server_without_starttls_gets_no_password(tmp_path: Path, start: Start) -> None:
    server = MailServer()
    start(server)
    mail = await make_mail(mail_to(server, tmp_path), WORDS)
    with pytest.raises(NotifyError):
        await mail.send(batch())
    assert server.messages == []


async def test_refusals_name_the_code_and_no_secret(tmp_path: Path, authority: Authority, start: Start) -> None:
    server = MailServer(server_context(authority.issue("smtp")), login=("csu", "another"))
    start(server)
    mail = await make_mail(mail_to(server, tmp_path, authority.file), WORDS)
    with pytest.raises(NotifyError, match="SMTPAuthenticationError, code 535") as refused:
        await mail.send(batch())
    assert PASSWORD not in str(refused.value)
    server.login, server.answer = ("csu", PASSWORD), "554 no"
    with pytest.raises(NotifyError, match="code 554"):
        await mail.send(batch())


async def test_nobody_there_is_said(tmp_path: Path, start: Start) -> None:
    receiver, server = HookReceiver(), MailServer()
    for one in (receiver, server):
        one.start()
        one.stop()
    hook = await make_webhook(hook_to(receiver, tmp_path), WORDS)
    mail = await make_mail(mail_to(server, tmp_path), WORDS)
    for channel in (hook, mail):
        with pytest.raises(NotifyError, match=r"127\.0\.0\.1"):
            await channel.send(batch())
