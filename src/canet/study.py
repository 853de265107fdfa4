"""Optuna studies: who runs which trial, how a search continues, what is recorded with each trial.

Any number of workers may search in one study (see `database`), and any of them may be killed at
any moment: exactly as many trials end as were asked for. Nobody leads. Each worker asks for a
trial, then looks whether it is wanted, by what lower-numbered trials there are: those were all
there before it, so that the answers of two workers never contradict each other.
"""

import argparse
import math
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.samplers import BaseSampler, TPESampler
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from canet.database import ERRORS, open_storage, takes_several, was_cut_off
from canet.files import UserError, process_name
from canet.recipe import Recipe
from canet.stage import commit, progress, versions

ENDED = (TrialState.COMPLETE, TrialState.PRUNED)
POLL_S = 0.5  # how often a worker without a trial looks for one


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


def parameters(trial: FrozenTrial) -> dict:
    """What a trial tries: what it was enqueued with, or has drawn so far."""
    return trial.system_attrs.get("fixed_params", trial.params)


@dataclass(frozen=True)
class Wanted:
    """Which trials a search wants: `total` in all, and `starts` first among them."""

    total: int
    starts: list[dict] = field(default_factory=list)

    def untried(self, before: list[FrozenTrial]) -> list[dict]:
        """The starts that none of these trials tries."""
        tried = [parameters(t) for t in before]
        return [start for start in self.starts if start not in tried]

    def problem(self, number: int, tries: dict, trials: list[FrozenTrial]) -> str | None:
        """Why a trial is not wanted, None where it is.

        Counted are the lower-numbered trials that have not failed and, since places are kept for
        them, the starts that none of those tries. Trials that have not failed when this one looks
        may fail later, but never the other way round: of those that are wanted, no more than
        `total` can end.
        """
        before = [t for t in trials if t.number < number and t.state != TrialState.FAIL]
        untried = self.untried(before)
        if tries in self.starts:
            if tries not in untried:
                return "tried already"
            untried = untried[: untried.index(tries)]
        return "enough without it" if len(before) + len(untried) >= self.total else None

    def next_up(self, trials: list[FrozenTrial]) -> tuple[int, dict]:
        """Number and enqueued parameters of the trial that would be asked for."""
        waiting = next((t for t in trials if t.state == TrialState.WAITING), None)
        if waiting:
            return waiting.number, parameters(waiting)
        untried = self.untried([t for t in trials if t.state != TrialState.FAIL])
        return len(trials), untried[0] if untried else {}

    def has_room(self, trials: list[FrozenTrial]) -> bool:
        """Whether to ask for a trial now; else others are at work on all that is wanted."""
        if all(t.state != TrialState.RUNNING for t in trials):
            return True  # nobody is: what waits without being wanted has to go
        return self.problem(*self.next_up(trials), trials) != "enough without it"


@dataclass
class Search:
    """A study, open for this worker."""

    recipe: Recipe
    study: optuna.Study
    storage: RDBStorage
    sampler: Callable[..., BaseSampler]
    seed: int
    noticed: set[int] = field(default_factory=set)  # trials seen before their worker's first word

    def run(self, objective: Callable, total: int, starts: list[dict], label: str) -> None:
        """Take part until `total` trials have ended, by whichever workers.

        Args:
            objective: from a trial to its value; NaN counts as pruned.
            total: trials in all, those of earlier runs included.
            starts: parameters to try first, in this order.
            label: of the progress bar.
        """
        wanted, done = Wanted(total, starts), len(ended_trials(self.study))
        if done > total:
            has_enough(done, total)
        facts = {"worker": process_name(), "recipe": self.recipe.name}
        facts |= {"commit": commit(), "versions": versions()}
        with progress(total=max(total, done), initial=done, desc=label, unit="trial") as bar:
            while True:
                try:
                    if self._show(bar) >= total:
                        return
                    self._take_turn(objective, wanted, facts)
                except ERRORS as error:
                    if not takes_several(self.recipe) or not was_cut_off(error):
                        raise
                    time.sleep(POLL_S)  # what was running is found dead later

    def _take_turn(self, objective: Callable, wanted: Wanted, facts: dict) -> None:
        self._fail_dead_trials()
        if wanted.has_room(self.study.get_trials(deepcopy=False)):
            self._try_one(objective, wanted, facts)
        else:
            time.sleep(POLL_S)

    def _show(self, bar) -> int:
        ended = ended_trials(self.study)
        bar.update(len(ended) - bar.n)
        complete = [t.value for t in ended if t.state == TrialState.COMPLETE]
        if complete:
            bar.set_postfix({"best F1": f"{max(complete):.4f}"}, refresh=False)
        return len(ended)

    def _fail_dead_trials(self) -> None:
        """Fail the trials of workers that give no more sign of life.

        Optuna heeds only trials that have had a heartbeat. One whose worker was killed before its
        first gets one from here, once, and is found dead later.
        """
        if not takes_several(self.recipe):
            return
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if "worker" not in trial.user_attrs and trial.number not in self.noticed:
                self.noticed.add(trial.number)
                self.storage.record_heartbeat(self._id_of(trial.number))
        with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
            optuna.storages.fail_stale_trials(self.study)

    def _id_of(self, number: int) -> int:
        study = self.storage.get_study_id_from_name(self.study.study_name)
        return self.storage.get_trial_id_from_study_id_trial_number(study, number)

    def _fresh_sampler(self) -> BaseSampler:
        """A sampler that knows nothing but the study, so that a killed search repeats itself.

        One worker draws by the recipe's seed and the number of trials that have ended. Several
        must differ from each other, and the order in which their trials end is chance anyway.
        """
        if takes_several(self.recipe):
            return self.sampler(seed=None)
        state = np.random.SeedSequence([self.seed, len(ended_trials(self.study))])
        return self.sampler(seed=int(state.generate_state(1)[0]))

    def _try_one(self, objective: Callable, wanted: Wanted, facts: dict) -> None:
        trials = self.study.get_trials(deepcopy=False)
        number, start = wanted.next_up(trials)
        if start and number == len(trials):  # enqueued one by one, so that they keep their order
            self.study.enqueue_trial(start)
        self.study.sampler = self._fresh_sampler()
        with warnings.catch_warnings(action="ignore"):  # that heartbeats need Study.optimize
            trial = self.study.ask()
        with suppress(UpdateFinishedTrialError), self._beating(trial):
            # Failed by others, since this worker was paused for too long: on to the next.
            self._judge(trial, objective, wanted, facts)

    @contextmanager
    def _beating(self, trial: optuna.Trial) -> Iterator[None]:
        """Give signs of life for a trial, on a server."""
        if not takes_several(self.recipe):
            yield
            return
        id_, stop = self._id_of(trial.number), threading.Event()
        self.storage.record_heartbeat(id_)

        def beat() -> None:
            while not stop.wait(self.recipe.machine.heartbeat_s):
                with suppress(*ERRORS):  # the next may get through
                    self.storage.record_heartbeat(id_)
            self.storage.remove_session()

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(timeout=self.recipe.machine.heartbeat_s)

    def _judge(self, trial: optuna.Trial, objective: Callable, wanted: Wanted, facts: dict) -> None:
        """Run one trial, unless it is one too many, and record how it ended."""
        for key, value in facts.items():
            trial.set_user_attr(key, value)
        trials = self.study.get_trials(deepcopy=False)
        problem = wanted.problem(trial.number, parameters(trials[trial.number]), trials)
        if problem:
            trial.set_user_attr("surplus", problem)
            self.study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
            return
        try:
            value = objective(trial)
        except optuna.TrialPruned:
            value = math.nan
        except BaseException:
            with suppress(*ERRORS):
                self.study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
            raise
        if math.isnan(value):
            self.study.tell(trial, state=TrialState.PRUNED, skip_if_finished=True)
        else:
            self.study.tell(trial, value, skip_if_finished=True)


@contextmanager
def open_search(
    recipe: Recipe, name: str, seed: int, sampler: Callable[..., BaseSampler] = TPESampler
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
            for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                study.tell(trial.number, state=TrialState.FAIL)
        yield Search(recipe, study, storage, sampler, seed)
