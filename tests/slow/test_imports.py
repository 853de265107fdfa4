"""What skeletons by geometry leave unimported: libraries that take seconds, and are not needed."""

import subprocess
import sys

import numpy as np
import pytest

from canet.core.console import REPOSITORY
from canet.core.images import read_grey, write_png

HEAVY = {"torch", "timm", "optuna", "matplotlib", "sklearn"}


def imported_by(program: str, *words: object) -> set[str]:
    """Which of HEAVY a program imports in a process of its own."""
    told = f"\nprint('imported', *({HEAVY!r} & sys.modules.keys()))"
    start = f"import sys; sys.path.insert(0, {str(REPOSITORY / 'src')!r})\n"
    done = subprocess.run(
        [sys.executable, "-c", start + program + told, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split()[1:])


@pytest.mark.parametrize(
    "module", ["canet.submission.by_geometry", "canet.submission.make", "baseline"]
)
def test_methods_without_a_network_are_imported_without(module):
    assert imported_by(f"import {module}") == set()


def test_the_check_sees_what_is_imported():
    assert "torch" in imported_by("import canet.submission.by_network")


def test_a_shape_is_drawn_by_geometry_without(tmp_path):
    shape = np.zeros((64, 64), np.uint8)
    shape[20:40, 8:56] = 255
    write_png(tmp_path / "shapes" / "bar.png", shape)
    words = ["--run", REPOSITORY / "weights" / "geometry", "--images", tmp_path / "shapes"]
    program = "import make_submission\nmake_submission.main()"
    assert imported_by(program, *words, "--out", tmp_path / "drawn") == set()
    drawn = read_grey(tmp_path / "drawn" / "bar.png") > 0
    assert drawn.any() and not (drawn & (shape == 0)).any()
