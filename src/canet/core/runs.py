"""Runs on disk: where they lie, which folds of them are finished."""

from datetime import UTC, datetime
from pathlib import Path

from canet.core.console import REPOSITORY, UserError, printable, shown
from canet.core.files import digest_of, read_json
from canet.core.recipe import Recipe, check_stored

FACTS = "training.json"  # what is kept with a model
DONE = "done.json"  # the mark of a training that has ended, in its fold's folder


def finished_folds(run: Path) -> dict[str, dict]:
    """`done.json` of each finished fold of a run, by `0`, `1`, … or `all`."""
    found = {}
    for path in sorted(run.glob(f"fold-*/{DONE}")):
        name = path.parent.name.removeprefix("fold-")
        done = read_json(path, identity=str, finished_at=str)
        if done and (name.isdecimal() or name == "all"):
            found[name] = done
    return found


def newest_run(runs: Path) -> Path:
    """The run that finished training last.

    Raises:
        UserError: nothing is trained yet.
    """
    finished = [
        (max(_time_of(done) for done in folds.values()), run)
        for run in runs.glob("*")
        if (folds := finished_folds(run))
    ]
    if not finished:
        raise UserError(
            f"{shown(runs)}: no trained run; train one with bash run.sh, or name one with --run"
        )
    return max(finished)[1]


def _time_of(done: dict) -> datetime:
    """When a training ended, wherever its clock was; long ago where that cannot be read."""
    try:
        return datetime.fromisoformat(done["finished_at"]).astimezone(UTC)
    except (ValueError, OverflowError):
        return datetime.min.replace(tzinfo=UTC)


def find_run(name: str | None, runs: Path = REPOSITORY / "runs") -> Path:
    """A run's folder from its name or path, from here or the repository; the newest without."""
    if not name:
        return newest_run(runs)
    for folder in (runs / name, Path(name), REPOSITORY / name):
        if folder.is_dir():
            return folder
    near = ", ".join(sorted(p.name for p in runs.glob("*") if finished_folds(p))) or "none"
    shipped = sorted(path.parent.name for path in (REPOSITORY / "weights").glob("*/config.json"))
    also = "; with the code: " + ", ".join(f"weights/{n}" for n in shipped) if shipped else ""
    raise UserError(f"no run {printable(name)}; trained runs: {near}{also}")


def fold_number(text: str) -> int | str:
    """A fold from the command line: a number, or `all`."""
    if text != "all" and not text.isdecimal():
        raise UserError(f"--fold {text}: expected a number such as 0, or all")
    return text if text == "all" else int(text)


def fold_folder(recipe: Recipe, fold: int | str) -> Path:
    """Where a fold's training is, and all that it leaves."""
    return recipe.run_folder / f"fold-{fold}"


def require_same_experiment(run: Path, folds: list[str]) -> None:
    """Refuse to mix folds that were trained by different recipes or on different images.

    Raises:
        UserError: naming the folds; their tuned losses may differ, if all are tuned.
    """
    kinds, images, there = {}, {}, finished_folds(run)
    for k in folds:
        path = run / f"fold-{k}" / "model" / FACTS
        facts = read_json(path, recipe=dict)
        if not facts and k not in there:
            raise UserError(
                f"{shown(run)}: fold {k} is not trained; trained are {', '.join(there) or 'none'}; "
                f"choose one of them, or run src/train.py --fold {k}"
            )
        if not facts:
            raise UserError(f"{shown(path)}: missing or damaged; train fold {k} again")
        trained_by = check_stored(facts["recipe"], shown(path))
        trained = trained_by.settings("input", "model", "loss", "augment", "folds", "train")
        trained["train"].pop("folds")
        if trained_by.loss.tuned:
            trained["loss"] = "tuned"  # for each fold by itself
        trained["extra"] = [str(path) for path in trained_by.data.extra]
        kinds.setdefault(("by different recipes", digest_of(trained)), []).append(k)
        if "images" in facts:  # models of before do not tell
            images.setdefault(("on different images", facts["images"]), []).append(k)
    for groups in (kinds, images):
        if len(groups) > 1:
            how, _ = next(iter(groups))
            told = " and ".join(", ".join(ks) for ks in groups.values())
            raise UserError(
                f"{shown(run)}: folds {told} were trained {how}; "
                f"train them alike, or choose some with --folds"
            )
