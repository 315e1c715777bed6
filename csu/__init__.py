"""The supervision centre end: broker, ingest, registry and command line."""
