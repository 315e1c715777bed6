"""What `csu serve --notify` takes, and in what words it refuses."""

from pathlib import Path

import pytest

from csu.errors import CsuSettingsError
from csu.notify_settings import load_notify_settings

SECRET = "whsec_" + "QUJD" * 8
HOOK = '[[webhook]]\nname = "hook"\nurl = "https://hooks.example/a/secret-path"\nsecret_file = "hook.secret"\n'
MAIL = '[[mail]]\nname = "mail"\nhost = "smtp.ville.example"\nfrom = "csu@ville.example"\nto = ["a@ville.example"]\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in (("hook.secret", SECRET), ("login", "user\npass word\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    return tmp_path


def load(folder: Path, text: str | bytes) -> object:
    path = folder / "notify.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_notify_settings(path)


def test_a_whole_file_is_taken(folder: Path) -> None:
    (folder / "notify.toml").write_text(f'language = "en"\nsummary_at = "07:00"\n{HOOK}{MAIL}login_file = "login"\n')
    settings = load_notify_settings(folder / "notify.toml")
    (hook,), (mail,) = settings.webhook, settings.mail
    assert (hook.secret(), mail.login()) == (b"ABC" * 8, ("user", "pass word"))
    assert (hook.severity, mail.severity, mail.security, mail.port) == ("warning", "critical", "starttls", 587)
    assert settings.summary_time is not None
    assert settings.summary_time.hour == 7


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "nobody is told"),
        ("a = [", "not TOML"),
        (b"\xff", "not UTF-8"),
        (b"#" * 200_000, "over 100000 bytes"),
        ("[" * 5000, "not TOML"),
        (HOOK + "colour = 1", r"webhook\[0\].colour: no such key"),
        (HOOK.replace("https:", "http:"), r"webhook\[0\].url: http to hooks.example is not encrypted"),
        (HOOK.replace("https://", "https://user:geheim@"), "hooks.example: no user, password"),
        (HOOK.replace("https://hooks.example", "ftp://x"), "write https://host/path"),
        (HOOK.replace("hooks.example", "[::1"), "write https://host/path"),
        (HOOK.replace("hooks.example", "x:99999"), "write https://host/path"),
        (HOOK.replace("hook.secret", "absent"), "secret_file .*absent: No such file"),
        (HOOK.replace("hook.secret", "login"), "whsec_"),
        (HOOK + HOOK, "'hook' is taken twice"),
        (HOOK.replace('"hook"', '"Hook!"'), r"webhook\[0\].name"),
        (HOOK + 'severity = "grave"', r"webhook\[0\].severity"),
        (HOOK + 'ca_file = "absent"', "ca_file .*absent"),
        (MAIL + 'security = "none"', 'security "none" to smtp.ville.example is not encrypted'),
        (MAIL + 'security = "ssl"', r"mail\[0\].security"),
        (MAIL + "port = 0", r"mail\[0\].port"),
        (MAIL + 'login_file = "hook.secret"', "expected two lines"),
        (MAIL.replace("csu@ville.example", "csu"), r"mail\[0\].from: 'csu' is no mail address"),
        (MAIL.replace("a@ville.example", "a@b\\nBcc: x@y"), r"mail\[0\].to\[0\]"),
        (MAIL.replace('["a@ville.example"]', "[]"), r"mail\[0\].to"),
        ('summary_at = "7h"\n' + MAIL, "summary_at: '7h' is no time of day"),
        ('language = "de"\n' + MAIL, "language"),
    ],
)
def test_a_mistake_is_named_with_its_remedy_and_no_secret(folder: Path, text: str | bytes, words: str) -> None:
    with pytest.raises(CsuSettingsError, match=words) as refused:
        load(folder, text)
    assert str(folder / "notify.toml") in str(refused.value)
    assert not any(secret in str(refused.value) for secret in ("geheim", "secret-path", SECRET, "pass word"))


@pytest.mark.parametrize(("name", "text"), [("hook.secret", HOOK), ("login", MAIL + 'login_file = "login"')])
def test_a_secret_that_everybody_may_read_is_refused(folder: Path, name: str, text: str) -> None:
    (folder / name).chmod(0o644)
    with pytest.raises(CsuSettingsError, match="chmod 600"):
        load(folder, text)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_QUJD", "whsec_!!!!", "QUJD" * 8, "whsec_" + "QUJD" * 30])
def test_a_secret_that_is_none_is_refused(folder: Path, secret: str) -> None:
    (folder / "hook.secret").write_text(secret)
    with pytest.raises(CsuSettingsError, match="openssl rand"):
        load(folder, HOOK)


def test_plain_text_stays_on_this_machine(folder: Path) -> None:
    load(folder, HOOK.replace("https://hooks.example", "http://127.0.0.1:8080"))
    load(folder, MAIL.replace("smtp.ville.example", "localhost") + 'security = "none"')
