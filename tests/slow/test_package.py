"""The package as others install it: built, put into an empty environment, used from elsewhere."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from canet.core.console import REPOSITORY
from canet.core.images import read_grey, write_png

SKELETON = """
import canet, numpy as np
mask = np.zeros((40, 90), bool)
mask[10:30, 10:80] = True
skeleton = canet.skeletonize(mask)
assert len(skeleton.branches) and not (skeleton.pixels & ~mask).any()
print(canet.__file__)
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> Path:
    """bin/ of an environment that has the wheel and what it asks for, and nothing else."""
    folder = tmp_path_factory.mktemp("package")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    built = ["wheel", REPOSITORY, "--no-deps", "--no-build-isolation", "-w", folder]
    subprocess.run([*pip, *built], check=True)
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    programs = folder / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
    (wheel,) = folder.glob("*.whl")
    asked = ["install", "--no-compile", wheel, "-c", REPOSITORY / "constraints.txt"]
    subprocess.run([programs / "python", "-m", *pip[2:], *asked], check=True)
    return programs


def run(*words: object, cwd: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        list(map(str, words)), cwd=cwd, capture_output=True, text=True, check=False
    )


def test_it_is_imported_without_the_repository_and_without_a_network(environment, tmp_path):
    done = run(environment / "python", "-c", SKELETON, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    installed = Path(done.stdout.strip()).parent
    assert REPOSITORY not in installed.parents
    assert (installed / "weights" / "canet_axis" / "model.safetensors").is_file()
    assert run(environment / "python", "-c", "import torch", cwd=tmp_path).returncode == 1


def test_the_command_draws(environment, tmp_path):
    shape = np.zeros((64, 64), np.uint8)
    shape[20:40, 8:56] = 255
    write_png(tmp_path / "bar.png", shape)
    done = run(environment / "skeletonize", "bar.png", "--formats", "png,csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    drawn = read_grey(tmp_path / "skeletons" / "bar" / "skeleton.png") > 0
    assert drawn.any() and not (drawn & (shape == 0)).any()
    told = run(environment / "skeletonize", "--help", cwd=tmp_path).stdout
    assert "\n  skeletonize mask.png" in told and "src/" not in told


def test_the_network_asks_for_its_extra(environment, tmp_path):
    write_png(tmp_path / "bar.png", np.full((32, 32), 255, np.uint8))
    done = run(environment / "skeletonize", "bar.png", "--method", "canet", cwd=tmp_path)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.startswith("error: --method canet: needs torch, ")
    assert "pip install '.[train]'" in done.stderr
