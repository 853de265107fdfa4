"""Optuna studies: how a search continues and ends, what is recorded with each trial.

Any number of workers may search in one study (see `storage`), and any of them may be killed at any
moment. Optuna runs the trials, sends heartbeats and queues those of dead workers again; here is
which trials are wanted, and what makes a search with one worker repeat itself after a kill.
"""

import argparse
import math
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import MaxTrialsCallback
from optuna.trial import FrozenTrial, TrialState
from tqdm import tqdm

from canet.core.console import UserError, progress
from canet.core.files import process_name
from canet.core.provenance import commit, versions
from canet.core.recipe import Recipe
from canet.search.storage import ERRORS, Storage, open_storage, takes_several, was_cut_off

ENDED = (TrialState.COMPLETE, TrialState.PRUNED)
POLL_S = 0.5  # how often a worker that has nothing to do looks for a trial


class Duplicate(Exception):
    """A start that another worker, which looked at the same moment, tries; it counts as failed."""


def add_trials(parser: argparse.ArgumentParser) -> None:
    """Add --trials to a stage that searches."""

    def count(text: str) -> int:
        if not text.isdecimal() or not int(text):
            raise argparse.ArgumentTypeError(f"{text!r} is no number of trials: 1 or more")
        return int(text)

    shown = "until N trials in all have ended, by whichever workers (default: the recipe's number)"
    parser.add_argument("--trials", type=count, metavar="N", help=shown)


def ended_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that were completed or pruned."""
    return study.get_trials(deepcopy=False, states=ENDED)


def best_trial(study: optuna.Study) -> FrozenTrial:
    """The completed trial with the highest value; of equal ones, the first.

    Raises:
        UserError: none was completed.
    """
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not complete:
        raise UserError(
            f"{study.study_name}: all {len(ended_trials(study))} trials were pruned or diverged; "
            f"ask for more with --trials, or lower train.lr"
        )
    return max(complete, key=lambda trial: trial.value)


def has_enough(ended: int, total: int) -> bool:
    """Whether a result is current, given how many trials it is of; says so."""
    if ended > total:
        print(f"   {ended} trials have ended, {total} are asked for: nothing to do")
    elif ended == total:
        print("   current for this recipe and these inputs: skipped (--force does it again)")
    return ended >= total


def enqueued(trial: FrozenTrial) -> dict | None:
    """The parameters that a trial was enqueued with."""
    return trial.system_attrs.get("fixed_params")


class Search:
    """A study, open for this worker.

    Args:
        recipe: says where the study is kept.
        study: created or loaded.
        storage: of the study.
        sampler: makes the sampler of a trial from a seed.
        seed: of the samplers, where there is one worker.
    """

    def __init__(
        self,
        recipe: Recipe,
        study: optuna.Study,
        storage: Storage,
        *,
        sampler: Callable[..., BaseSampler],
        seed: int,
    ):
        self.recipe, self.study, self.storage = recipe, study, storage
        self.sampler, self.seed = sampler, seed
        self.several = takes_several(recipe)
        self.observed: set[int] = set()  # other workers' trials

    def run(
        self,
        objective: Callable[[optuna.Trial], float],
        *,
        total: int,
        starts: list[dict],
        label: str,
    ) -> None:
        """Take part until `total` trials have ended, by whichever workers, and none is running.

        A few more may end: at most one less than there are workers, and a start whose worker was
        given up.

        Args:
            objective: from a trial to its value; NaN counts as pruned.
            total: trials in all, those of earlier runs included.
            starts: parameters to try first, in this order; the first `total` of them.
            label: of the progress bar.

        Raises:
            UserError: see `open_storage`; and whatever the objective raises.
        """
        done = len(ended_trials(self.study))
        if done > total:
            has_enough(done, total)
        recorded = self._recorded(objective)
        with progress(total=max(total, done), initial=done, desc=label, unit="trial") as bar:

            def after_trial(study: optuna.Study, _: FrozenTrial) -> None:
                _show(bar, ended_trials(study))
                study.sampler = self._fresh_sampler()

            callbacks = [MaxTrialsCallback(total, states=ENDED), after_trial]
            while True:
                try:
                    if self._has_work(total, starts[:total]):
                        self._enqueue(starts[:total])
                        self.study.sampler = self._fresh_sampler()
                        self.study.optimize(recorded, catch=(Duplicate,), callbacks=callbacks)
                    elif not self._others_run(bar):
                        return
                except Exception as error:
                    self._raise_unless_lost(error)
                    time.sleep(POLL_S)

    def _recorded(self, objective: Callable) -> Callable:
        """The objective, with where a trial comes from recorded and NaN as pruned."""
        facts = {"worker": process_name(), "recipe": self.recipe.name}
        facts |= {"commit": commit(), "versions": versions()}

        def recorded(trial: optuna.Trial) -> float:
            if self._is_duplicate(trial.number):
                raise Duplicate
            for key, value in facts.items():
                trial.set_user_attr(key, value)
            value = objective(trial)
            if math.isnan(value):
                raise optuna.TrialPruned
            return value

        return recorded

    def _has_work(self, total: int, starts: list[dict]) -> bool:
        """Whether trials are missing, or a start that no worker has tried to its end or tries."""
        trials = self.study.get_trials(deepcopy=False, states=(*ENDED, TrialState.RUNNING))
        tried = [enqueued(t) for t in trials]
        ended = sum(t.state in ENDED for t in trials)
        return ended < total or any(start not in tried for start in starts)

    def _is_duplicate(self, number: int) -> bool:
        """Whether a lower-numbered trial, which was there before, has the same start."""
        trials = self.study.get_trials(deepcopy=False)
        start = enqueued(trials[number])
        earlier = [enqueued(t) for t in trials[:number] if t.state != TrialState.FAIL]
        return start is not None and start in earlier

    def _enqueue(self, starts: list[dict]) -> None:
        """Queue the starts that no trial tries or has tried."""
        trials = self.study.get_trials(deepcopy=False)
        tried = [enqueued(t) for t in trials if t.state != TrialState.FAIL]
        for start in starts:
            if start not in tried:
                self.study.enqueue_trial(start)

    def _others_run(self, bar: tqdm) -> bool:
        """Whether trials of other workers are running; dead ones are failed. Waits a moment."""
        self._fail_dead_trials()
        _show(bar, ended_trials(self.study))
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        if running:
            time.sleep(POLL_S)
        return bool(running)

    def _raise_unless_lost(self, error: Exception) -> None:
        """Raise an error of `Study.optimize`, unless it cost one trial and no more.

        That is so on a server that has ended the connection, and where this worker was paused for
        so long that others have failed its trial. Optuna then raises what hides the reason.
        """
        chain = _chain(error)
        if database := next((e for e in chain if isinstance(e, ERRORS)), None):
            if self.several and was_cut_off(database):
                return
            raise database from database.__cause__
        given_up = any(str(e) == "Cannot tell a FAIL trial." for e in chain)
        if not given_up and not any(isinstance(e, UpdateFinishedTrialError) for e in chain):
            raise error

    def _fail_dead_trials(self) -> None:
        """Fail the trials of workers that give no more sign of life.

        Optuna heeds only trials that have had a heartbeat. One whose worker was killed before its
        first gets one from here, once, and is found dead later.
        """
        if not self.several:
            return
        with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
            optuna.storages.fail_stale_trials(self.study)
        study = self.storage.get_study_id_from_name(self.study.study_name)
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if trial.number not in self.observed:
                self.observed.add(trial.number)
                self.storage.record_heartbeat(
                    self.storage.get_trial_id_from_study_id_trial_number(study, trial.number)
                )

    def _fresh_sampler(self) -> BaseSampler:
        """A sampler that knows nothing but the study, so that a killed search repeats itself.

        One worker draws by the recipe's seed and the number of trials that have ended. Several
        must differ from each other, and the order in which their trials end is chance anyway.
        """
        if self.several:
            return self.sampler(seed=None)
        state = np.random.SeedSequence([self.seed, len(ended_trials(self.study))])
        return self.sampler(seed=int(state.generate_state(1)[0]))


def _show(bar: tqdm, ended: list[FrozenTrial]) -> None:
    bar.total = max(bar.total, len(ended))
    bar.update(len(ended) - bar.n)
    complete = [t.value for t in ended if t.state == TrialState.COMPLETE]
    if complete:
        bar.set_postfix({"best F1": f"{max(complete):.4f}"}, refresh=False)


def _chain(error: BaseException | None) -> list[BaseException]:
    """An error and those that were being handled when it was raised."""
    return [error, *_chain(error.__context__)] if error else []


@contextmanager
def open_search(
    recipe: Recipe,
    name: str,
    *,
    seed: int,
    sampler: Callable[..., BaseSampler] = TPESampler,
) -> Iterator[Search]:
    """Create a study or continue it, for as long as the block lasts.

    A trial that was running when its worker was killed counts as failed, and another takes its
    place; of a SQLite file there is only one worker, so that this is known at once.

    Args:
        recipe: says where the study is kept.
        name: of the study, within the recipe.
        seed: of the sampler, where there is one worker; several draw without.
        sampler: made anew for every trial.

    Raises:
        UserError: see `open_storage`.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # what it warns of is dealt with here
    with open_storage(recipe) as storage:
        study = optuna.create_study(
            storage=storage,
            study_name=f"{recipe.name}: {name}",
            direction="maximize",
            pruner=optuna.pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=1),
            load_if_exists=True,
        )
        with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
            study.set_metric_names(["per-image F1"])  # the dashboard's axis
        if not takes_several(recipe):
            # Nobody else is at work; and what waits keeps its order if it is queued anew.
            left = (TrialState.RUNNING, TrialState.WAITING)
            for trial in study.get_trials(deepcopy=False, states=left):
                storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
        yield Search(recipe, study, storage, sampler=sampler, seed=seed)
