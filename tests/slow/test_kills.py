"""Stages that are killed or asked to stop, and repeated."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from kills import finish, kill_stages, stages
from scripts import SOURCE, Script


def test_killed_stages_end_as_if_nothing_had_happened(tmp_path):
    """The short version of kills.py."""
    outcomes = kill_stages(tmp_path, kills=2, seed=0)
    assert outcomes.keys() == stages(tmp_path).keys()
    assert all(outcome.kills >= 2 for outcome in outcomes.values())


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Stages over a folder that has what each of those below needs."""
    made = stages(tmp_path_factory.mktemp("prepared"))
    for stage in ("make_demo_data", "make_folds", "make_distance_maps"):
        finish(made[stage])
    return made


# What makes a stage last so long that a signal always comes before its end.
AT_LENGTH = {
    "make_demo_data": ["--force", "demo.train=5000"],
    "tune_loss": ["--force", "--trials", "500"],
    "train_geometry": ["--force", "selection.trials=500"],
    "baseline": [],
}


@pytest.mark.parametrize("stage", AT_LENGTH)
def test_sigterm_is_one_line(prepared, stage):
    words = prepared[stage]
    if stage == "baseline":
        words = (*words[:2], "--images", many(Path(words[3])), *words[4:])
    script = Script(words[0], *with_options(words[1:], AT_LENGTH[stage]))
    assert script.wait_for("   writes ")  # at work
    script.process.terminate()
    done = script.wait()
    assert done.code == 1 and "stopped; the same command continues" in done.stderr
    assert "Traceback" not in done.stderr
    finish(prepared[stage])


def with_options(words: tuple, options: list[str]) -> list:
    """Options before the words, overrides (of `--set`, the last word's) after them."""
    overrides = [o for o in options if "=" in o]
    return [o for o in options if o not in overrides] + [*words, *overrides]


def many(shapes: Path) -> Path:
    """A folder of thousands of copies."""
    folder = shapes.with_name("many")
    folder.mkdir()
    for path in shapes.glob("*.png"):
        for k in range(200):
            shutil.copyfile(path, folder / f"{k}-{path.name}")
    return folder


INTERRUPTED = """
import os, signal, sys, time
sys.path.insert(0, sys.argv[1])
from canet.core import cli

def main():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
    except BaseException:
        {then}
    time.sleep(60)

cli.run(main)
"""


@pytest.mark.parametrize("then", ["pass", "raise ValueError('KeyboardInterrupt')"])
def test_a_sigterm_that_is_swallowed_or_renamed_still_stops(then):
    """NumPy's Generator.choice drops what is raised in it, pydantic raises another exception."""
    words = [sys.executable, "-c", INTERRUPTED.replace("{then}", then), str(SOURCE)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=50)
    assert done.returncode == 1 and "stopped; the same command continues" in done.stderr
    assert "Traceback" not in done.stderr
