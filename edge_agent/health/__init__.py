"""Probes: each figure is measured or `unknown`."""
