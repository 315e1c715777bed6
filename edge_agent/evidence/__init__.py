"""Keys, signatures and manifests."""
