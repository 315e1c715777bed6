"""Cameras and encoders behind GStreamer: pipelines in processes of their own, read with their times."""
