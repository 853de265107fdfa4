"""Commands as a user types them: each in a process that starts afresh."""

import os
import subprocess
import sys
from pathlib import Path

from canet.core.console import REPOSITORY

# run.sh takes the active environment; the tests' interpreter is that
ENVIRONMENT = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
ENVIRONMENT["PYTHON"] = sys.executable


def run(*words: str, check: bool = True) -> subprocess.CompletedProcess:
    """Run a command in the repository; with `check` it has to succeed."""
    done = subprocess.run(
        words, cwd=REPOSITORY, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def script(name: str, *words: str, check: bool = False) -> subprocess.CompletedProcess:
    """Run `src/<name>.py`."""
    return run(sys.executable, f"src/{name}.py", *words, check=check)
