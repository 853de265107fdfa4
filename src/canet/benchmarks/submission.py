"""Memory and seconds of `make_submission.py` over the number of shapes."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from canet.core.console import REPOSITORY, UserError


def benchmark_submission(run: str, paths: list[Path], most: int) -> None:
    """Whole commands over 10, 100, … shapes (copies, renamed), or over `most` where it is less.

    Args:
        run: its name.
        paths: of the shapes to copy.
        most: the largest number of shapes.
    """
    with tempfile.TemporaryDirectory() as folder:
        count, shapes = min(10, most), Path(folder, "shapes")
        shapes.mkdir()
        while count <= most:
            for i in range(count):
                shutil.copyfile(paths[i % len(paths)], shapes / f"{i:06}.png")
            words = ["--run", run, "--images", shapes, "--out", Path(folder, f"out-{count}")]
            command = [sys.executable, str(REPOSITORY / "src" / "make_submission.py")]
            began = time.perf_counter()
            process = subprocess.Popen(
                [*command, *map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            status, used = os.wait4(process.pid, 0)[1:]
            if status:
                raise UserError(f"{run}: make_submission failed, run it alone to see why")
            took, peak_mb = time.perf_counter() - began, used.ru_maxrss / 1024
            print(f"   {count:6} shapes {took:8.1f} s {peak_mb:8.0f} MB", flush=True)
            count *= 10
