"""The trainings of tables: what they read made once, then several at once, then their speed."""

import statistics
import subprocess
import sys
import timeit
from pathlib import Path

import numpy as np

from canet.core.console import REPOSITORY, UserError, shown
from canet.core.files import read_json, write_text
from canet.core.recipe import Recipe
from canet.core.runs import FACTS
from canet.data.training_set import TrainingSet
from canet.evaluation.out_of_fold import load_held_out
from canet.evaluation.sweep import cross_fitted_scores
from canet.inference.device import describe, pick_device, resolve_precision
from canet.inference.predict import predict_levels
from canet.inference.saved_model import load_model
from canet.tables.plan import SCORES, SPEED, Plan, Training, different
from canet.tables.results import write_results
from canet.training.fold import train_fold
from canet.training.side_by_side import Outcome, SideBySide, places

SPEED_IMAGES, SPEED_ROUNDS = 32, 3
FROM_FACTS = {"parameters": int, "training_s": float, "device": str, "commit": str}


def prepare(plans: list[Plan], trainings: list[Training]) -> None:
    """Make what the trainings read once, before they start: shapes, folds, maps.

    Raises:
        UserError: something is wrong with the data.
    """
    for folder, count in {k: v for p in plans for k, v in p.table.generate.items()}.items():
        words = ["--recipe", "base", "--set", f"data.root={folder}", f"demo.train={count}"]
        _run_stage("make_demo_data", words)
    rows = [planned for plan in plans for planned in plan.trained_rows()]
    for planned in different(rows, "data"):
        _run_stage("check_input", planned.words)
    for planned in different(rows, "data", "folds"):
        if not TrainingSet(planned.recipe).folds_path.exists():
            _run_stage("make_folds", planned.words)
    for images in {training.images for training in trainings}:
        for data in (images.data, *images.data.extra):
            images.maps_of(data).load()


def _run_stage(name: str, words: list[str]) -> None:
    command = [sys.executable, str(REPOSITORY / "src" / f"{name}.py"), *words]
    if subprocess.run(command, check=False).returncode:
        raise UserError(f"{name} failed, see above")


def train_and_judge(recipe: Recipe, fold: int) -> None:
    """Train, or continue, and write the figures on the held-out images.

    Each of them is judged at a threshold that was chosen on others of them.

    Raises:
        UserError: as `train_fold`, or the model is damaged.
    """
    training = Training(recipe, fold, TrainingSet(recipe))
    write_text(recipe.run_folder / "recipe.yaml", recipe.to_yaml())
    folder = train_fold(recipe, fold, images=training.images)
    facts = read_json(folder / "model" / FACTS, **FROM_FACTS)
    if not facts:
        raise UserError(f"{shown(folder / 'model' / FACTS)}: damaged; delete {shown(folder)}")
    held_out = load_held_out(recipe, training.images.data, [folder / "held_out.npz"])
    figures = cross_fitted_scores(held_out, recipe.postprocess)
    training.write(SCORES, figures | {key: facts[key] for key in FROM_FACTS})


def measure_speed(recipe: Recipe, fold: int) -> None:
    """Predict some images over and over and write how many a second that makes."""
    training = Training(recipe, fold, TrainingSet(recipe))
    device = pick_device(recipe.machine.device)
    network = load_model(training.folder / "model", device).network
    maps = np.array(training.images.maps_of(training.images.data).load()[:SPEED_IMAGES])
    precision = resolve_precision(recipe.train.precision, device)

    def predict() -> None:
        predict_levels(
            [network],
            maps,
            device=device,
            precision=precision,
            batch=recipe.predict.batch,
            window=recipe.input.window,
        )

    predict()  # the first time is slower
    seconds = statistics.median(timeit.repeat(predict, number=1, repeat=SPEED_ROUNDS))
    facts = {"images_per_s": len(maps) / seconds, "batch": recipe.predict.batch}
    training.write(SPEED, facts | {"device": describe(device)})


def train_tables(
    plans: list[Plan],
    trainings: list[Training],
    results: Path,
    *,
    at_once: int | None,
    deadline: float,
) -> Outcome:
    """Train what is not trained yet, then measure speed with nothing else at work.

    Args:
        plans: the tables, written anew whenever a training of theirs has ended.
        trainings: all of theirs.
        results: folder to write into.
        at_once: trainings on each device, see `places`.
        deadline: by `time.monotonic`; what is then at work is stopped and saves.
    """
    devices = places(plans[0].rows[0].recipe.machine.device, at_once)
    wanted = [t for t in trainings if not t.scores()]
    print(
        f"   {len(trainings)} trainings, {len(trainings) - len(wanted)} of them finished; "
        f"{len(devices)} at once",
        flush=True,
    )

    def rewrite(training: Training) -> None:
        asking = {row.partition(":")[0] for row in training.rows}
        for plan in plans:
            if plan.name in asking:
                write_results(plan, trainings, results)

    train = SideBySide(train_and_judge, devices, label="train", after_each=rewrite)
    outcome = train.run(wanted, deadline)
    timed = [t for t in _timed(plans, trainings) if t.scores() and not t.speed()]
    if timed and not outcome.left:
        options = {"label": "speed", "counts_epochs": False, "after_each": rewrite}
        measured = SideBySide(measure_speed, devices[:1], **options).run(timed, deadline)
        outcome.failed |= measured.failed
        outcome.left += measured.left
    return outcome


def _timed(plans: list[Plan], trainings: list[Training]) -> list[Training]:
    """The trainings of first splits for rows of tables that have a column of speed."""
    names = {row.recipe.name for plan in plans if plan.table.speed for row in plan.rows}
    first = {plan.splits[0] for plan in plans}
    return [t for t in trainings if t.recipe.name in names and t.fold in first]
