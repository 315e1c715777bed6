"""The ingest and independent clients; the unit over TLS."""

import asyncio
import datetime as dt
import ipaddress
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from csu.ingest import Ingest
from csu.ingest_quota import IngestLimits
from csu.ingest_server import IngestServer
from edge_agent.clock import SystemClock
from edge_agent.contract.jws import SigningKey, TrustedKeys
from edge_agent.contract.upload import PATCH_CONTENT_TYPE, origin_of
from edge_agent.uplink.transfers import Transfers
from tests.support.polling import until
from tests.support.tus_requests import RawUnit, token
from tests.support.uploads import (
    UNIT_ID,
    Centre,
    Heard,
    make_clip,
    running_ingest,
    troubles,
    trusted,
    upload_settings,
)

pytestmark = pytest.mark.real

KEY = SigningKey.generate()
CONTENT = bytes(range(256)) * 20_000


@pytest.fixture
async def centre(tmp_path: Path) -> AsyncIterator[Centre]:
    async with running_ingest(tmp_path / "csu", {UNIT_ID: trusted(KEY)}) as running:
        yield running


async def curl(centre: Centre, path: str, *arguments: str) -> str:
    """Run curl on an upload as the unit; its standard output."""
    headers = ["Tus-Resumable: 1.0.0", f"Authorization: Bearer {token(KEY, centre.url)}"]
    options = [option for header in headers for option in ("-H", header)]
    process = await asyncio.create_subprocess_exec(
        "curl", "-sS", *options, *arguments, origin_of(centre.url) + path, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode()


async def test_curl_uploads_in_two_steps(tmp_path: Path, centre: Centre) -> None:
    async with aiohttp.ClientSession() as session:
        path = (await RawUnit(session, KEY, centre.url).create(len(CONTENT))).headers["Location"]
    halves = [CONTENT[:1_000_000], CONTENT[1_000_000:]]
    for offset, half in zip([0, 1_000_000], halves, strict=True):
        file = tmp_path / "half"
        await asyncio.to_thread(file.write_bytes, half)
        more = ["-H", f"Content-Type: {PATCH_CONTENT_TYPE}", "-H", f"Upload-Offset: {offset}", "-T", str(file)]
        status = await curl(centre, path, "-X", "PATCH", "-w", "%{http_code}", *more)
        assert status == "204"
    assert f"upload-offset: {len(CONTENT)}" in (await curl(centre, path, "-I")).lower()
    stored = centre.directory / "ingest" / path.rsplit("/", 1)[1] / "data"
    assert await asyncio.to_thread(stored.read_bytes) == CONTENT


def make_certificate(directory: Path) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that is its own authority, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ingest of a test")])
    now = dt.datetime.fromtimestamp(SystemClock().wall_us() / 1e6, dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = directory / "certificate.pem", directory / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    encoding, private = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    key_file.write_bytes(key.private_bytes(encoding, private, serialization.NoEncryption()))
    return certificate_file, key_file


async def test_a_clip_goes_over_tls_to_a_known_authority_only(tmp_path: Path) -> None:
    certificate_file, key_file = await asyncio.to_thread(make_certificate, tmp_path)
    arrived: list[Path] = []

    async def look_up(_: str) -> TrustedKeys | None:
        return trusted(KEY)

    async def on_complete(*, unit_id: str, clip_id: str, folder: Path) -> None:
        arrived.append(folder)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    await asyncio.to_thread(context.load_cert_chain, certificate_file, key_file)
    ingest = Ingest(tmp_path / "csu", look_up, on_complete, SystemClock(), limits=IngestLimits(reserve_bytes=0))
    server = IngestServer(ingest, ssl_context=context)
    url = await server.start()
    assert url.startswith("https://127.0.0.1:")
    clip = await asyncio.to_thread(make_clip, tmp_path / "unit", [3_000_000])
    try:
        await _upload(tmp_path, url, clip.clip_id, clip.plan_file, None)
        assert arrived == []
        await _upload(tmp_path, url, clip.clip_id, clip.plan_file, certificate_file)
        await until(lambda: arrived, what="arrival")
    finally:
        await server.stop()


async def _upload(tmp_path: Path, url: str, clip_id: str, plan_file: Path, ca_file: Path | None) -> None:
    """Upload until it ends, or until there is trouble."""
    heard = Heard()
    transfers = Transfers(
        tmp_path / "unit", upload_settings(url, ca_file=ca_file), KEY, UNIT_ID, SystemClock(), heard
    )
    task = asyncio.create_task(transfers.run())
    await transfers.submit(clip_id, plan_file, url, "normal")
    await until(lambda: heard.ends or troubles(transfers), what="end or trouble")
    if ca_file is None:
        assert "certificate" in troubles(transfers)[clip_id].lower()
    task.cancel()
    await asyncio.wait({task})
