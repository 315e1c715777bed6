"""Raw tus requests of a unit, for tests that talk to an ingest by hand."""

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp

from csu.ingest import PREFIX
from edge_agent.contract.jws import SigningKey
from edge_agent.contract.upload import PATCH_CONTENT_TYPE, UploadClaims, UploadMetadata, origin_of
from tests.support.clips import CLIP_ID
from tests.support.uploads import UNIT_ID


def metadata(**changes: object) -> UploadMetadata:
    values = {"clip_id": CLIP_ID, "unit_id": UNIT_ID, "kind": "part", "index": 1, "filename": "part1.mp4"}
    return UploadMetadata.model_validate(values | changes)


def token(key: SigningKey, url: str, kind: str = "upload", **changes: object) -> str:
    """An upload token that is valid but for `changes`."""
    now_s = int(time.time())
    claims = UploadClaims(iss=UNIT_ID, aud=origin_of(url), iat=now_s, exp=now_s + 60, jti=str(uuid.uuid4()))
    return key.sign(kind, claims.to_object() | changes)


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    text: str


@dataclass(frozen=True, slots=True)
class RawUnit:
    """A unit that sends what a test says."""

    session: aiohttp.ClientSession
    key: SigningKey
    url: str
    unit_id: str = UNIT_ID

    def headers(self, **changes: str | None) -> dict[str, str]:
        """What every request carries; underscores of names become dashes, None takes a header out."""
        headers: dict[str, str | None] = {
            "Tus-Resumable": "1.0.0",
            "Authorization": f"Bearer {token(self.key, self.url, iss=self.unit_id)}",
        }
        headers |= {name.replace("_", "-"): value for name, value in changes.items()}
        return {name: value for name, value in headers.items() if value is not None}

    async def send(
        self, method: str, path: str = PREFIX, body: bytes | None = None, /, **headers: str | None
    ) -> Reply:
        url = origin_of(self.url) + path
        async with self.session.request(method, url, data=body, headers=self.headers(**headers)) as response:
            return Reply(response.status, response.headers, await response.text())

    async def create(self, length: int | str, what: UploadMetadata | None = None, **headers: str | None) -> Reply:
        described = (what or metadata()).to_header()
        return await self.send("POST", Upload_Length=str(length), **({"Upload_Metadata": described} | headers))

    async def patch(self, path: str, offset: int | str, body: bytes, **headers: str | None) -> Reply:
        more = {"Upload_Offset": str(offset), "Content_Type": PATCH_CONTENT_TYPE} | headers
        return await self.send("PATCH", path, body, **more)

    async def upload(self, content: bytes, what: UploadMetadata | None = None) -> str:
        """Create and send everything; the upload's path."""
        path = (await self.create(len(content), what)).headers["Location"]
        assert (await self.patch(path, 0, content)).status == 204
        return path
