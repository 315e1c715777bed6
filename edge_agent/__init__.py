"""Camera edge agent: records, keeps and delivers the footage of a nomadic street camera."""

__version__ = "0.1.0"
