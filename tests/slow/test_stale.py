"""Results are made again when code that they depend on has changed, and not otherwise."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from canet.core.console import REPOSITORY

CLOSING = "cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)"
WIDER = "cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)"
CURRENT = ("skipped", "written before: read and checked")
SILENT = {"make_distance_maps", "classical"}  # print the same where nothing is to be done
# Every stage with its words.
STAGES = {
    "check_input": ["check_input"],
    "make_folds": ["make_folds"],
    "make_distance_maps": ["make_distance_maps"],
    "tune_loss": ["tune_loss"],
    "train": ["train", "--fold", "0"],
    "tune_threshold": ["tune_threshold"],
    "make_submission": ["make_submission"],
    "classical": ["baseline", "all", "--out", "classical.csv"],
    "train_geometry": ["train_geometry"],
    "submission by geometry": ["make_submission", "--run", "runs/forest", "--out", "./chosen"],
    "baseline": ["baseline", "compact", "--images", "{shapes}", "--out", "./compact"],
}
# Runs the commands of a line, [folder, [argv, ...]], and answers with a line of their exit codes.
# Each is run in a fork, which need not import what is not ours.
DRIVER = """
import albumentations, cv2, matplotlib.pyplot, numba, optuna, pandas, scipy.ndimage
import segmentation_models_pytorch, skimage.morphology, sklearn.ensemble, timm, torch
import gc, json, os, runpy, sys, torch.utils.tensorboard
optuna.storages.RDBStorage("sqlite://")
gc.freeze()

def run(folder, number, argv):
    child = os.fork()
    if not child:
        os.chdir(folder)
        output = os.open(f"{number}.out", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1), os.dup2(output, 2)
        sys.argv, sys.path[0] = argv, "src"
        runpy.run_path(argv[0], run_name="__main__")
        sys.stdout.flush()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

for line in sys.stdin:
    folder, commands = json.loads(line)
    print([run(folder, *command) for command in enumerate(commands)], flush=True)
"""


class Copy:
    """The code and all that it writes, in a folder of its own."""

    def __init__(self, folder: Path, overrides: list[str], driver: subprocess.Popen):
        self.folder, self.driver = folder, driver
        for name in ("src", "pipelines"):
            shutil.copytree(REPOSITORY / name, folder / name)
        own = [o for o in overrides if not o.startswith(("name=", "machine.", "data.folds="))]
        self.own = [*own, "machine.device=cpu", "input.mask=label", "train.epochs=1"]
        self.own += ["selection.trees=5", "selection.trials=2", "threshold_search.trials=2"]
        self.own += ["loss_search.trials=2"]
        self.root = next(o for o in own if o.startswith("data.root=")).partition("=")[2]

    def run(self, stages: dict[str, list[str]], *more: str) -> dict[str, str]:
        """What each stage says."""
        commands = [self.command(stage, words, *more) for stage, words in stages.items()]
        print(json.dumps([str(self.folder), commands]), file=self.driver.stdin, flush=True)
        codes = json.loads(self.driver.stdout.readline())
        said = {stage: (self.folder / f"{i}.out").read_text() for i, stage in enumerate(stages)}
        assert not any(codes), (codes, said)
        return said

    def command(self, stage: str, words: list[str], *more: str) -> list[str]:
        """How a stage is started."""
        words = [word.replace("{shapes}", f"{self.root}/img_train_shape") for word in words]
        name = "forest" if "geometry" in stage else "net"
        own = ["--recipe", "demo", "--set", *self.own, f"name={name}", *more]
        return [f"src/{words[0]}.py", *words[1:], *([] if stage == "baseline" else own)]

    def change(self, path: str, before: str, after: str) -> None:
        """Edit the code."""
        text = (self.folder / path).read_text()
        assert text.count(before) == 1
        (self.folder / path).write_text(text.replace(before, after))


def is_current(said: str) -> bool:
    return any(words in said for words in CURRENT)


@pytest.fixture(scope="module")
def driver() -> Iterator[subprocess.Popen]:
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # what libraries say when they end
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": ""},
        text=True,
    )
    yield driver
    driver.communicate()


@pytest.fixture
def copy(overrides, tmp_path, driver) -> Copy:
    return Copy(tmp_path / "copy", overrides, driver)


def test_stages_run_again_where_the_closing_has_changed(copy):
    def kept() -> list[int]:
        found = [next(copy.folder.glob("cache/maps/*/img_train_shape/*.npy"))]
        found += [copy.folder / "runs/net/classical_fold-0.csv"]
        return [path.stat().st_mtime_ns for path in found]

    first = copy.run(STAGES)
    assert [stage for stage, said in first.items() if is_current(said)] == []
    written = kept()
    again = copy.run(STAGES)
    assert {stage for stage, said in again.items() if not is_current(said)} == SILENT
    assert kept() == written

    copy.change("src/canet/geometry/masks.py", CLOSING, WIDER)
    changed = copy.run(STAGES)
    assert [stage for stage, said in changed.items() if is_current(said)] == ["make_folds"]
    assert "outdated or damaged: rebuilt" in changed["make_distance_maps"]
    assert "another training was here" in changed["train"]
    assert all(now > before for now, before in zip(kept(), written))


def test_demo_data_are_drawn_again_where_their_code_has_changed(copy):
    made, stage = copy.folder / "made", {"make_demo_data": ["make_demo_data"]}
    own = ("data.root=made", "data.size_px=256", "demo.train=12", "demo.test=2")

    def is_skipped() -> bool:
        return is_current(copy.run(stage, *own)["make_demo_data"])

    assert not is_skipped() and is_skipped()
    names = {path.relative_to(made) for path in made.rglob("*.png")}
    copy.change("src/canet/geometry/masks.py", CLOSING, WIDER)
    assert not is_skipped() and is_skipped()
    assert {path.relative_to(made) for path in made.rglob("*.png")} == names
