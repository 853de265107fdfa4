import random
import threading

import optuna
import pytest

from canet.core.console import UserError
from canet.search.study import best_trial, ended_trials, open_search

STARTS = [{"x": 0.5}, {"x": 0.25}]


def draw(trial: optuna.Trial) -> float:
    return trial.suggest_float("x", 0, 1)


def states(search) -> list[str]:
    return [t.state.name for t in search.study.trials]


def test_a_killed_trial_counts_as_failed_and_a_start_is_tried_again(tiny):
    with open_search(tiny, "killed", seed=0) as search:
        search.study.enqueue_trial(STARTS[0])
        draw(search.study.ask())  # and is left running
    with open_search(tiny, "killed", seed=0) as search:
        assert states(search) == ["FAIL"]
        search.run(draw, total=3, starts=STARTS, label="again")
        ended = ended_trials(search.study)
        assert [t.params for t in ended[:2]] == STARTS and len(ended) == 3
        assert best_trial(search.study).params["x"] == max(t.params["x"] for t in ended)


def test_only_as_many_starts_are_tried_as_trials_are_asked_for(tiny):
    with open_search(tiny, "few", seed=0) as search:
        search.run(draw, total=1, starts=STARTS, label="few")
        assert [t.params for t in search.study.trials] == STARTS[:1]
        search.run(draw, total=1, starts=STARTS, label="few")
        search.run(draw, total=2, starts=STARTS, label="few")
        assert [t.params for t in search.study.trials] == STARTS


def test_a_start_that_another_worker_tries_is_not_tried_twice(tiny):
    with open_search(tiny, "twice", seed=0) as search:
        search.study.enqueue_trial(STARTS[0])  # by another worker, just before
        search.run(draw, total=3, starts=STARTS, label="twice")
        ended = [t.params for t in ended_trials(search.study)]
        assert ended[:2] == STARTS and ended[2] not in STARTS
        assert states(search) == ["COMPLETE"] * 3


def test_trials_of_other_workers_count(tiny):
    other = optuna.trial.create_trial(value=0.5)

    def objective(trial: optuna.Trial) -> float:
        trial.study.add_trial(other)
        return draw(trial)

    with open_search(tiny, "others", seed=0) as search:
        search.run(objective, total=6, starts=STARTS, label="others")
        assert len(search.study.trials) == 6
        assert sum(bool(t.params) for t in search.study.trials) == 3


def test_a_search_ends_when_the_last_trial_of_others_has_ended(tiny):
    def objective(trial: optuna.Trial) -> float:
        if trial.number == 0:
            other = trial.study.ask()
            threading.Timer(0.3, trial.study.tell, (other, 1.0)).start()
        return draw(trial)

    with open_search(tiny, "waits", seed=0) as search:
        search.run(objective, total=2, starts=[], label="waits")
        assert states(search) == ["COMPLETE"] * 3  # two workers: one more than asked for


def test_of_equal_trials_the_first_is_best_and_none_is_an_error(tiny):
    with open_search(tiny, "equal", seed=0) as search:
        search.run(lambda t: 0 * draw(t), total=3, starts=STARTS, label="equal")
        assert best_trial(search.study).number == 0
    with open_search(tiny, "none", seed=0) as search:
        search.run(lambda t: float("nan"), total=2, starts=[], label="none")
        assert states(search) == ["PRUNED", "PRUNED"]
        with pytest.raises(UserError, match="all 2 trials were pruned"):
            best_trial(search.study)


@pytest.mark.parametrize("reports", [True, False])
def test_a_trial_that_others_gave_up_is_passed_over(tiny, reports):
    seen = []

    def objective(trial: optuna.Trial) -> float:
        seen.append(trial.number)
        if len(seen) == 1:  # as if this worker had been paused, and another had failed its trial
            trial.study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        if reports:
            trial.report(0.5, 0)
        return 0.5

    with open_search(tiny, "paused", seed=0) as search:
        search.run(objective, total=2, starts=[], label="paused")
        assert states(search) == ["FAIL", "COMPLETE", "COMPLETE"]


@pytest.mark.parametrize("error", [UserError("out of memory"), ValueError("a fault")])
def test_an_error_of_the_objective_ends_the_search(tiny, error):
    def objective(trial: optuna.Trial) -> float:
        raise error

    with pytest.raises(type(error), match=str(error)), open_search(tiny, "bad", seed=0) as search:
        search.run(objective, total=2, starts=STARTS, label="bad")
    with open_search(tiny, "bad", seed=0) as search:
        search.run(draw, total=2, starts=STARTS, label="mended")
        assert [t.params for t in ended_trials(search.study)] == STARTS


class Killed(BaseException):
    """What Optuna does not catch: the trial is left running, as by SIGKILL."""


def test_a_search_that_is_killed_at_random_trials_is_the_same_search(tiny):
    rng = random.Random(1)

    def objective(trial: optuna.Trial, dies: bool) -> float:
        if dies and rng.random() < 0.2:
            raise Killed
        x, y = trial.suggest_float("x", 0.01, 1, log=True), trial.suggest_int("y", 0, 5)
        trial.report(x + y, 1)
        if dies and rng.random() < 0.2:
            raise Killed
        if trial.should_prune() and y > 4:
            raise optuna.TrialPruned
        return (x - 0.3) ** 2 + y

    def search(name: str, dies: bool) -> list:
        with open_search(tiny, name, seed=0, sampler=optuna.samplers.RandomSampler) as search:
            starts = [{"x": 0.5, "y": 2}, {"x": 0.2, "y": 3}]
            search.run(lambda t: objective(t, dies), total=8, starts=starts, label=name)
            ended = ended_trials(search.study)
            return [(t.params, t.value, t.state, t.intermediate_values) for t in ended]

    whole, kills, killed = search("whole", False), 0, None
    while killed is None:
        try:
            killed = search("killed", True)
        except Killed:
            kills += 1
    assert killed == whole and len(whole) == 8 and kills > 2


def test_each_trial_records_where_it_comes_from(tiny):
    with open_search(tiny, "facts", seed=0) as search:
        search.run(draw, total=1, starts=[], label="facts")
        assert search.study.trials[0].user_attrs.keys() == {
            "worker",
            "recipe",
            "commit",
            "versions",
        }
