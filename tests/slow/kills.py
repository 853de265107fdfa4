"""Kill every stage with SIGKILL at random moments, repeat its command, compare what it leaves.

What is left has to equal what an uninterrupted run leaves, byte for byte where no time stamp is
involved: of SQLite studies the finished trials, of JSON and CSV files all but times and durations.

examples:
  python tests/slow/kills.py                            20 kills a stage, some minutes
  python tests/slow/kills.py --kills 100 --stage train --seed 7
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import optuna
import pandas as pd
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "helpers"))  # as a command
from scripts import Script

MOST_IN_A_ROW = 3  # kills before a command may end
TIMES = {"finished_at", "trained_at", "training_s", "fitted_s", "elapsed_s", "ms_per_image"}
NOT_COMPARED = ("*.lock", "*tfevents*")  # empty; nothing but times and what metrics.csv holds
SETTINGS = [
    "demo.train=9",
    "demo.test=4",
    "folds.count=3",
    "model.encoder=resblock4",
    "model.blocks=1",
    "model.attention_stages=[5]",
    "augment.crop_px=64",
    "loss.tuned=true",
    "train.epochs=4",
    "train.batch=2",
    "train.precision=float32",
    "loss_search.trials=5",
    "loss_search.epochs=1",
    "loss_search.images=4",
    "threshold_search.trials=12",  # two more than start at random
    "selection.trials=3",
    "selection.trees=20",
    "machine.checkpoint_every_s=0",
    "machine.device=cpu",
]


def recipe_words(folder: Path, name: str) -> list[str]:
    own = [f"data.root={folder / 'data'}", f"data.folds={folder / 'folds'}", f"name={name}"]
    own += [f"machine.{k}={folder / k}" for k in ("cache", "runs", "submissions")]
    return ["--recipe", "demo", "--set", *SETTINGS, *own]


def stages(folder: Path) -> dict[str, tuple[str, ...]]:
    """Scripts and their words by stage, each over what those before it have left in `folder`."""
    network, geometry = recipe_words(folder, "net"), recipe_words(folder, "forest")
    shapes = ["--images", str(folder / "data" / "img_train_shape")]
    chosen = ["--run", str(folder / "runs" / "forest"), *shapes]
    return {
        "make_demo_data": ("make_demo_data", *network),
        "check_input": ("check_input", *network),
        "make_folds": ("make_folds", *network),
        "make_distance_maps": ("make_distance_maps", *network),
        "tune_loss": ("tune_loss", *network),
        "train": ("train", *network),
        "tune_threshold": ("tune_threshold", *network),
        "make_submission": ("make_submission", *network),
        "classical": ("baseline", "all", "--out", str(folder / "classical.csv"), *network),
        "report": ("report", *network),
        "train_geometry": ("train_geometry", *geometry),
        "submission by geometry": ("make_submission", *chosen, "--out", str(folder / "chosen")),
        "baseline": ("baseline", "compact", *shapes, "--out", str(folder / "compact")),
    }


@dataclass(frozen=True)
class Outcome:
    """Of one stage: kills that landed, runs completed after them, uninterrupted seconds."""

    kills: int
    completed: int
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.kills:4} kills, {self.completed:4} times completed and equal, "
            f"{self.seconds:.1f} s uninterrupted"
        )


def kill_stages(folder: Path, kills: int, seed: int, only: str | None = None) -> dict[str, Outcome]:
    """Kill each stage `kills` times, the stages in their order.

    Raises:
        AssertionError: what is left differs from what an uninterrupted run leaves.
    """
    now, outcomes, chance = folder / "now", {}, random.Random(seed)
    now.mkdir()
    Script("score", "--help").wait()  # starts the fork server, which should not count
    for stage, words in stages(now).items():
        before, after = folder / "before", folder / "after"
        copy(now, before)
        began = time.monotonic()
        finish(words)
        seconds = time.monotonic() - began
        copy(now, after)
        if only in (None, stage):
            outcomes[stage] = kill_stage(words, (before, now, after), kills, seconds, chance)
            print(f"{stage:24}{outcomes[stage]}", flush=True)
        copy(after, now)
    return outcomes


def kill_stage(
    words: tuple[str, ...],
    folders: tuple[Path, Path, Path],
    kills: int,
    seconds: float,
    chance: random.Random,
) -> Outcome:
    before, now, after = folders
    expected, landed, completed = tree(after), 0, 0
    while landed < kills:
        copy(before, now)
        for _ in range(chance.randint(1, MOST_IN_A_ROW)):
            script = Script(*words)
            time.sleep(chance.uniform(0, seconds))
            landed += script.kill().code == -9
        finish(words)
        completed += 1
        compare(tree(now), expected)
    return Outcome(landed, completed, seconds)


def finish(words: tuple[str, ...]) -> None:
    done = Script(*words).wait()
    assert done.code == 0, f"{words[0]}: exit code {done.code}\n{done.stdout}{done.stderr}"


def copy(source: Path, target: Path) -> None:
    """Make `target` what `source` is."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)


def tree(folder: Path) -> dict[str, object]:
    """What is to be compared of each file, by relative path."""
    files = [p for p in folder.rglob("*") if p.is_file()]
    kept = [p for p in files if not any(p.match(pattern) for pattern in NOT_COMPARED)]
    return {str(p.relative_to(folder)): content_of(p) for p in kept}


known: dict[tuple[str, bytes], object] = {}


def content_of(path: Path) -> object:
    """What is to be compared of a file, taken once of files that are equal: it can take seconds."""
    key = path.name, path.read_bytes()
    if key not in known:
        known[key] = read(path)
    return known[key]


def read(path: Path) -> object:
    if path.suffix in (".json", ".stamp"):
        content = without_times(json.loads(path.read_text()))
        if path.name.startswith("classical"):
            content.pop("outputs")  # of a table with times
        if path.name == "done.json":
            content.get("outputs", {}).pop("model/training.json", None)  # which has times
        return content
    if path.suffix == ".csv":
        table = pd.read_csv(path)
        return table.drop(columns=TIMES & set(table.columns)).to_csv()
    if path.suffix == ".db":
        return finished_trials(path)
    if path.suffix == ".pt":
        return without_times(torch.load(path, weights_only=True))
    return path.read_bytes()


def without_times(value: object) -> object:
    if isinstance(value, dict):
        return {k: without_times(v) for k, v in value.items() if k not in TIMES}
    if isinstance(value, torch.Tensor):
        return value.numpy().tobytes()
    return [without_times(v) for v in value] if isinstance(value, list) else value


def finished_trials(path: Path) -> dict[str, list]:
    """Parameters, values and states of each study's finished trials, in their order."""
    storage = f"sqlite:///{path}"
    found = {}
    for name in optuna.get_all_study_names(storage):
        trials = optuna.load_study(study_name=name, storage=storage).trials
        ended = [t for t in trials if t.state.name in ("COMPLETE", "PRUNED")]
        found[name] = [(t.params, t.values, t.intermediate_values, t.state.name) for t in ended]
    return found


def compare(found: dict[str, object], expected: dict[str, object]) -> None:
    left_over, missing = found.keys() - expected.keys(), expected.keys() - found.keys()
    assert not left_over, f"left over: {sorted(left_over)}"
    assert not missing, f"missing: {sorted(missing)}"
    for name, content in expected.items():
        told = "" if isinstance(content, bytes) else f":\n{found[name]}\nexpected:\n{content}"
        assert found[name] == content, f"{name} differs{told}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20, metavar="N", help="a stage (default: 20)")
    parser.add_argument("--stage", choices=[*stages(Path())], help="only this one")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        kill_stages(Path(folder), args.kills, args.seed, args.stage)


if __name__ == "__main__":
    main()
