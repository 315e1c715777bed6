"""What the ingest's tests share: two units, limits, manifests, and a look at what is stored."""

from csu.ingest_quota import IngestLimits
from edge_agent.contract.clip import ClipPlan
from edge_agent.contract.jws import SigningKey
from edge_agent.contract.manifest import MANIFEST_FILE_NAME, build_manifest, sign_manifest
from edge_agent.contract.upload import UploadMetadata
from tests.support.clips import make_part, make_plan
from tests.support.tus_requests import metadata
from tests.support.uploads import Centre

KEY = SigningKey.generate()
OTHER_KEY = SigningKey.generate()
OTHER_ID = "nomad-08"
NOW_US = 1_790_000_000_000_000
LIMITS = IngestLimits(max_part_bytes=1_000_000, reserve_bytes=0, idle_s=0.5, max_clips_per_unit=5)


def data_files(centre: Centre) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in (centre.directory / "ingest").glob("*/data")}


def plan_of(*lengths: int) -> ClipPlan:
    parts = [make_part(b"", [("segments/1.mp4", 0, length)], index) for index, length in enumerate(lengths, start=1)]
    return make_plan(tuple(parts))


def signed_manifest(plan: ClipPlan, key: SigningKey = KEY) -> bytes:
    return sign_manifest(build_manifest(plan, ["a" * 64] * len(plan.parts)), key).encode()


def manifest_metadata(**changes: object) -> UploadMetadata:
    return metadata(kind="manifest", index=0, filename=MANIFEST_FILE_NAME, **changes)
