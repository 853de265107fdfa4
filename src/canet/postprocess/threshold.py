"""The threshold and post-processing that the search has left in a run's folder."""

from numbers import Integral, Real
from pathlib import Path

from canet.core.console import UserError, shown
from canet.core.files import read_json
from canet.core.recipe import Postprocess, check
from canet.core.runs import finished_folds

DEFAULT_THRESHOLD = 0.5  # where nothing was tuned


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
