"""A trained run: its models with the threshold that was tuned for them."""

from dataclasses import dataclass
from pathlib import Path

import torch

from canet.core.console import UserError, printable, shown
from canet.core.files import read_json
from canet.core.recipe import Postprocess, check
from canet.core.runs import finished_folds, require_same_experiment
from canet.inference.saved_model import CONFIG, WEIGHTS, TrainedModel, load_model
from canet.postprocess.threshold import DEFAULT_THRESHOLD, is_threshold, tuned_threshold

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
    tta: bool = False  # predict the mean over eight views, which the threshold is for


def load_run(folder: Path, wanted: list[str], device: torch.device) -> TrainedRun:
    """Load a run's models.

    Args:
        folder: of the run.
        wanted: folds to average; [] takes `all` where it is trained, else every trained fold.
        device: for the models.

    Raises:
        UserError: a wanted fold is not trained, or by another recipe or on other images than the
            rest, those that the threshold was tuned on among them.
    """
    if (folder / WEIGHTS).is_file():
        return _load_published(folder, wanted, device)
    there = finished_folds(folder)
    chosen = list(dict.fromkeys(wanted)) or (["all"] if "all" in there else list(there))
    missing = [k for k in chosen if k not in there]
    if missing or not chosen:
        raise UserError(
            f"{shown(folder)}: fold {', '.join(missing) or '0'} is not trained; "
            f"trained are {', '.join(there) or 'none'}"
        )
    models = [load_model(folder / f"fold-{k}" / "model", device) for k in chosen]
    tuned = tuned_threshold(folder)
    require_same_experiment(folder, sorted({*chosen, *(tuned["trained"] if tuned else [])}))
    if not tuned:
        recipe, origin = models[0].recipe, "default, nothing was tuned"
        settings, tta = recipe.postprocess, recipe.predict.tta
        return TrainedRun(folder, models, DEFAULT_THRESHOLD, settings, origin, tta)
    origin = f"{printable(tuned['study'])}, {tuned['images']} held-out images"
    tta = tuned.get("tta") is True
    return TrainedRun(folder, models, tuned["threshold"], tuned["postprocess"], origin, tta)


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
