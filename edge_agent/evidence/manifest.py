"""What the unit signs when a clip leaves it; the format and its making are the contract's."""

from edge_agent.contract.manifest import MANIFEST_FILE_NAME, build_manifest, sign_manifest

__all__ = ["MANIFEST_FILE_NAME", "build_manifest", "sign_manifest"]
