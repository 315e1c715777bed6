"""These tests run where picamera2 is: in the tree of scripts/test-picamera2, and nowhere else."""

import os

collect_ignore_glob = [] if os.environ.get("PICAMERA2_TREE") else ["test_*.py"]
