"""A trained run: its models with the threshold that was tuned for them."""

from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path

import torch

from canet.core.console import UserError, printable, shown
from canet.core.files import read_json
from canet.core.recipe import Postprocess, check
from canet.core.runs import finished_folds, require_same_experiment
from canet.inference.saved_model import CONFIG, WEIGHTS, TrainedModel, load_model

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
