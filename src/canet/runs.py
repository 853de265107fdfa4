"""Finding what has been trained: runs, their models and thresholds."""

from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path

import torch

from canet.files import REPOSITORY, UserError, digest_of, printable, read_json, shown
from canet.model_folder import CONFIG, FACTS, WEIGHTS, TrainedModel, load_model
from canet.recipe import Postprocess, check, check_stored

DEFAULT_THRESHOLD = 0.5
# Key of config.json in a folder that `export` wrote; smp leaves out what begins with _.
PUBLISHED = "_published"


@dataclass(frozen=True)
class TrainedRun:
    """A run's chosen models with the threshold to use."""

    folder: Path
    models: list[TrainedModel]
    threshold: float
    postprocess: Postprocess
    threshold_origin: str
    tta: bool = False  # whether the threshold is for the mean over eight views


def finished_folds(run: Path) -> dict[str, dict]:
    """`done.json` of each finished fold of a run, by `0`, `1`, … or `all`."""
    found = {}
    for path in sorted(run.glob("fold-*/done.json")):
        name = path.parent.name.removeprefix("fold-")
        done = read_json(path, identity=str, finished_at=str)
        if done and (name.isdecimal() or name == "all"):
            found[name] = done
    return found


def require_same_experiment(run: Path, folds: list[str]) -> None:
    """Refuse to mix folds that were trained by different recipes.

    Raises:
        UserError: naming the folds; their tuned losses may differ.
    """
    kinds = {}
    for k in folds:
        path = run / f"fold-{k}" / "model" / FACTS
        facts = read_json(path, recipe=dict)
        if not facts:
            raise UserError(f"{shown(path)}: missing or damaged; train fold {k} again")
        trained_by = check_stored(facts["recipe"], shown(path))
        trained = trained_by.settings("input", "model", "augment", "folds", "train")
        trained["train"].pop("folds")
        trained["extra"] = [str(path) for path in trained_by.data.extra]
        kinds.setdefault(digest_of(trained), []).append(k)
    if len(kinds) > 1:
        groups = " and ".join(", ".join(ks) for ks in kinds.values())
        raise UserError(
            f"{shown(run)}: folds {groups} were trained by different recipes; "
            f"train them alike, or choose some with --folds"
        )


def newest_run(runs: Path) -> Path:
    """The run that finished training last.

    Raises:
        UserError: nothing is trained yet.
    """
    finished = [
        (max(done["finished_at"] for done in folds.values()), run)
        for run in runs.glob("*")
        if (folds := finished_folds(run))
    ]
    if not finished:
        raise UserError(
            f"{shown(runs)}: no trained run; train one with bash run.sh, or name one with --run"
        )
    return max(finished)[1]


def find_run(name: str | None, runs: Path = REPOSITORY / "runs") -> Path:
    """A run's folder from its name or path, from here or the repository; the newest without."""
    if not name:
        return newest_run(runs)
    for folder in (runs / name, Path(name), REPOSITORY / name):
        if folder.is_dir():
            return folder
    near = ", ".join(sorted(p.name for p in runs.glob("*") if finished_folds(p))) or "none"
    raise UserError(f"no run {printable(name)}; trained runs: {near}")


def load_run(folder: Path, wanted: list[str], device: torch.device) -> TrainedRun:
    """Load a run's models.

    Args:
        folder: of the run.
        wanted: folds to average; [] takes `all` where it is trained, else every trained fold.
        device: for the models.

    Raises:
        UserError: a wanted fold is not trained.
    """
    if (folder / WEIGHTS).is_file():
        return _load_published(folder, wanted, device)
    there = finished_folds(folder)
    chosen = wanted or (["all"] if "all" in there else list(there))
    missing = [k for k in chosen if k not in there]
    if missing or not chosen:
        raise UserError(
            f"{shown(folder)}: fold {', '.join(missing) or '0'} is not trained; "
            f"trained are {', '.join(there) or 'none'}"
        )
    models = [load_model(folder / f"fold-{k}" / "model", device) for k in chosen]
    require_same_experiment(folder, chosen)
    tuned = tuned_threshold(folder)
    if not tuned:
        settings = models[0].recipe.postprocess
        return TrainedRun(folder, models, DEFAULT_THRESHOLD, settings, "default, nothing was tuned")
    origin = f"{printable(tuned['study'])}, {tuned['images']} held-out images"
    tta = tuned.get("tta") is True
    return TrainedRun(folder, models, tuned["threshold"], tuned["postprocess"], origin, tta)


def tuned_threshold(folder: Path) -> dict | None:
    """What `read_threshold` reads of a run; None where no threshold was tuned.

    Raises:
        UserError: the file is damaged, or a fold has been trained anew since.
    """
    path = folder / "threshold.json"
    if not path.exists():
        return None
    tuned, there = read_threshold(path), finished_folds(folder)
    if any(there.get(k, {}).get("identity") != v for k, v in tuned["trained"].items()):
        raise UserError(
            f"{shown(folder)}: threshold.json is of an earlier training; run "
            f"src/tune_threshold.py again"
        )
    return tuned


def _load_published(folder: Path, wanted: list[str], device: torch.device) -> TrainedRun:
    """One model in a folder of its own, with the threshold in its configuration."""
    if wanted:
        raise UserError(f"--folds {' '.join(wanted)}: {shown(folder)} is one model; leave it out")
    path = folder / CONFIG
    tuned = (read_json(path, **{PUBLISHED: dict}) or {}).get(PUBLISHED)
    if not (tuned and is_threshold(tuned)):
        raise UserError(f"{shown(path)}: tells no threshold; write it by src/export_weights.py")
    postprocess = check(tuned["postprocess"], shown(path), Postprocess)
    origin = f"{printable(tuned['study'])}, {tuned['images']} held-out images"
    model, tta = load_model(folder, device), tuned.get("tta") is True
    return TrainedRun(folder, [model], tuned["threshold"], postprocess, origin, tta)


def is_threshold(tuned: dict) -> bool:
    """Whether this tells a threshold, what comes after it, and where it is from."""
    kinds = {"threshold": Real, "postprocess": dict, "study": str, "images": Integral}
    return (
        all(isinstance(tuned.get(k), kind) for k, kind in kinds.items())
        and 0 < tuned["threshold"] < 1
    )


def read_threshold(path: Path) -> dict:
    """What the threshold search wrote, `postprocess` checked.

    Raises:
        UserError: the file is damaged; the default threshold would quietly be a worse one.
    """
    tuned = read_json(path, trained=dict)
    if not tuned or not is_threshold(tuned):
        raise UserError(f"{shown(path)}: damaged; run src/tune_threshold.py --force, or delete it")
    return tuned | {"postprocess": check(tuned["postprocess"], shown(path), Postprocess)}
