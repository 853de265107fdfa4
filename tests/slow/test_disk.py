"""A full disk, a read-only one, an input that has vanished."""

import subprocess
import sys
from pathlib import Path

import pytest

NAMESPACE = ["unshare", "--map-root-user", "--mount"]


def test_full_read_only_and_vanished_folders():
    """disk.py, where it may mount a small disk."""
    try:
        subprocess.run([*NAMESPACE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no mount namespace here ({error})")
    tests = Path(__file__).with_name("disk.py")
    done = subprocess.run(
        [
            *NAMESPACE,
            sys.executable,
            "-m",
            "pytest",
            "--slow",
            "-p",
            "no:cacheprovider",
            str(tests),
        ],
        cwd=tests.parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:]
