"""Which threshold and post-processing: an Optuna study on out-of-fold probabilities.

Every image is judged by the model that has not seen it. The result of the study is checked
against sweeps, and its F1 is also given cross-fitted: the threshold for a fifth of
the images chosen on the other four fifths (the switches, once for all). It is never below plain
thresholding, unless the recipe names switches that are: those are kept, and the cost is said.
"""

from dataclasses import dataclass, replace

import optuna

from canet.core.files import digest_of, digest_of_files, read_json, write_json
from canet.core.provenance import code_digest, commit
from canet.core.recipe import Postprocess, Recipe
from canet.core.runs import finished_folds
from canet.data.data_set import DataSet
from canet.evaluation.out_of_fold import OutOfFold, f1_of, held_out_files, load_out_of_fold
from canet.evaluation.sweep import Swept, cross_fitted_f1, sweep
from canet.search.postprocess_space import SPACE, SPURS, named_switches, starts, suggest
from canet.search.study import Search, best_trial, ended_trials, has_enough, open_search
from canet.search.threshold_scores import OUTPUTS, write_curve, write_scores

TOLERANCE = 0.0005  # how far below the sweep the study may end
# what a finished search has left; without all of it, it is done again
KEPT = {"identity": str, "trials": int, "version": int, "images": int, "threshold": float}
KEPT |= {"threshold_without_postprocessing": float, "postprocess": dict, "before": dict}
KEPT |= {"after": dict, "f1_by_views": dict, "f1": float, "f1_cross_fitted": float}
KEPT |= {"f1_without_postprocessing": float, "trained": dict}
# the code that skeletons and scores come from
CODE = ("canet.evaluation.sweep", "canet.geometry.classical", "canet.postprocess.skeleton")


def search_fingerprint(recipe: Recipe, data: DataSet) -> str:
    """A digest of all that a search depends on; the number of trials is not among it."""
    return digest_of(
        {
            "search": recipe.threshold_search.model_dump(mode="json", exclude={"trials"}),
            "postprocess": recipe.settings("postprocess"),
            "named": named_switches(recipe),
            "space": [SPACE, SPURS],
            "tta": recipe.predict.tta,
            "probabilities": digest_of_files(held_out_files(recipe)),
            "images": data.digest,
            "code": code_digest(*CODE),
        }
    )


def search_threshold(recipe: Recipe, *, trials: int | None = None, force: bool = False) -> dict:
    """Run the study, or continue it, and write `threshold.json`, the curve and the scores.

    Args:
        recipe: resolved.
        trials: how many are to end in all; None: as many as `threshold_search.trials`.
        force: start a new study.

    Returns:
        the content of `threshold.json`.

    Raises:
        UserError: no fold is trained; see `load_out_of_fold` and `open_storage`.
    """
    data, path = DataSet.of(recipe), recipe.run_folder / "threshold.json"
    fingerprint, kept = search_fingerprint(recipe, data), read_json(path, **KEPT)
    is_of_these = kept is not None and kept["identity"] == fingerprint
    version = (kept["version"] if is_of_these else 0) + force
    # of another training that ended with the same probabilities it is written again
    is_whole = is_of_these and kept["trained"] == trained_folds(recipe)
    is_whole = is_whole and all((recipe.run_folder / name).is_file() for name in OUTPUTS)
    total = trials or recipe.threshold_search.trials
    if is_whole and not force and has_enough(kept["trials"], total):
        return kept
    images = load_out_of_fold(recipe, data)
    with open_search(
        recipe,
        f"threshold ({fingerprint[:6]}.{version})",
        seed=recipe.threshold_search.seed,
        sampler=optuna.samplers.GPSampler,  # F1 over the threshold is smooth; TPE does not use that
    ) as search:
        run_trials(search, images, total)
        choice = choose(recipe, images, search.study)
        alike = trials_with(choice.switches, search.study, recipe)
        result = summarize_choice(recipe, images, choice, study=search.study)
    write_curve(recipe, choice.sweep, trials=alike, chosen=choice.threshold)
    result |= {"identity": fingerprint, "version": version}
    result |= write_scores(recipe, images, result)
    write_json(path, result)
    return result


def run_trials(search: Search, images: OutOfFold, total: int) -> None:
    """Take part in the study: mean F1 of the images over thresholds and switches."""
    recipe = search.recipe

    def objective(trial: optuna.Trial) -> float:
        return float(f1_of(images, *suggest(trial, recipe)).mean())

    search.run(objective, total=total, starts=starts(recipe), label="threshold")


@dataclass(frozen=True)
class Choice:
    """The best of a study and of sweeps."""

    threshold: float
    switches: Postprocess
    sweep: Swept  # with these switches
    plain: Swept  # without any
    study_f1: float  # the best that the study found,
    swept_f1: float  # and the sweeps, with its switches or the recipe's


def choose(recipe: Recipe, images: OutOfFold, study: optuna.Study) -> Choice:
    """The best of the study and of sweeps.

    Swept are the study's best switches, the recipe's own, and none; the last only for comparison
    where the recipe names others. The study has to come within `TOLERANCE` of the best sweep, or
    that is said; the better of the two is used.
    """
    best, own = best_trial(study), recipe.postprocess
    threshold, switches = suggest(optuna.trial.FixedTrial(best.params), recipe)
    none = Postprocess(inside_shape=own.inside_shape)
    sweeps: dict[str, Swept] = {}
    for tried in (none, own, switches):
        key = tried.model_dump_json()
        sweeps[key] = sweeps.get(key) or Swept(tried, *sweep(images, tried))
    swept = max((s for s in sweeps.values() if s.switches in (own, switches)), key=lambda s: s.best)
    if best.value < swept.best:
        threshold, switches = swept.threshold, swept.switches
    choice = Choice(
        threshold,
        switches,
        sweeps[switches.model_dump_json()],
        sweeps[none.model_dump_json()],
        best.value,
        swept.best,
    )
    if best.value < swept.best - TOLERANCE:
        print(
            f"   the study ended at F1 {best.value:.4f}, a sweep at {swept.best:.4f}: the sweep's "
            f"choice is used"
        )
    return choice


def trials_with(
    switches: Postprocess, study: optuna.Study, recipe: Recipe
) -> list[tuple[float, float]]:
    """Threshold and F1 of the trials with these switches."""
    return [
        (trial.params["threshold"], trial.value)
        for trial in ended_trials(study)
        if suggest(optuna.trial.FixedTrial(trial.params), recipe)[1] == switches
    ]


def summarize_choice(
    recipe: Recipe, images: OutOfFold, choice: Choice, *, study: optuna.Study
) -> dict:
    """What `threshold.json` tells of a choice and where it is from."""
    return {
        "threshold": choice.threshold,
        "postprocess": choice.switches.model_dump(),
        "f1": max(choice.study_f1, choice.swept_f1),
        "f1_cross_fitted": cross_fitted_f1(choice.sweep.f1),
        "f1_without_postprocessing": choice.plain.best,
        "threshold_without_postprocessing": choice.plain.threshold,
        "f1_sweep": choice.swept_f1,
        "f1_study": choice.study_f1,
        "tta": recipe.predict.tta,
        "f1_by_views": f1_by_views(images, choice.plain, tta=recipe.predict.tta),
        "images": len(images.names),
        "trained": trained_folds(recipe),
        "trials": len(ended_trials(study)),
        "study": study.study_name,
        "commit": commit(),
    }


def trained_folds(recipe: Recipe) -> dict[str, str]:
    """Which training each fold's held-out probabilities are of: its identity by fold."""
    folds = finished_folds(recipe.run_folder)
    return {k: done["identity"] for k, done in folds.items() if k != "all"}


def f1_by_views(images: OutOfFold, plain: Swept, *, tta: bool) -> dict[str, float]:
    """Cross-fitted F1 of plain thresholding, for one view ("1") and eight ("8")."""
    used, other = ("8", "1") if tta else ("1", "8")
    found = {used: cross_fitted_f1(plain.f1)}
    if images.others is not None:
        _, f1 = sweep(replace(images, levels=images.others), plain.switches)
        found[other] = cross_fitted_f1(f1)
    return found
