import multiprocessing
import os

import numpy as np
import optuna
import pytest
import torch

from canet import loss_search, recipe, threshold_search
from canet.database import storage_url
from canet.files import UserError, read_json
from canet.fitting import Diverged, Fitting
from canet.loss_search import inner_split, recipe_as_trial, search_loss, suggest_loss
from canet.metrics import quantize
from canet.recipe import Postprocess
from canet.runs import load_run, newest_run
from canet.study import Wanted, best_trial, ended_trials, open_search
from canet.switches import starts, suggest
from canet.threshold_search import (
    OutOfFold,
    cross_fitted_f1,
    cross_fitted_scores,
    search_threshold,
    sweep,
)
from canet.training import fold_folder, train_fold


def test_loss_search_never_sees_the_held_out_fold(tiny, tiny_folds):
    held_out = set(tiny_folds["image"][tiny_folds["fold"] == 0])
    train, judged = inner_split(tiny, 0)
    assert len(train) == 5 and len(judged) == 1
    assert held_out.isdisjoint(train.names + judged.names)
    assert set(train.names).isdisjoint(judged.names)


def test_loss_search_starts_with_the_recipe_and_continues(tiny, tiny_folds):
    search_loss(tiny, 0)
    path = fold_folder(tiny, 0) / "tuned_loss.json"
    first = read_json(path)
    study = optuna.load_study(study_name=first["study"], storage=storage_url(tiny))
    assert len(study.trials) == 2
    assert study.trials[0].params["focal"] == tiny.loss.focal
    assert study.trials[0].user_attrs.keys() >= {"recipe", "commit", "versions"}
    assert first["inner_f1"] == study.best_value
    search_loss(tiny, 0)
    assert len(optuna.load_study(study_name=first["study"], storage=storage_url(tiny)).trials) == 2
    search_loss(tiny, 0, trials=3)
    again = optuna.load_study(study_name=first["study"], storage=storage_url(tiny))
    assert len(again.trials) == 3
    assert again.trials[2].params != again.trials[1].params


def test_what_is_not_searched_is_kept(tiny):
    own = {"points": 0.3, "cldice": 0.5, "offset": 0.2, "l1": 1.0}
    asked = tiny.model_copy(update={"loss": tiny.loss.model_copy(update=own)})
    trial = optuna.trial.FixedTrial(recipe_as_trial(asked.loss))
    assert suggest_loss(trial, asked) == asked.loss.model_copy(update={"tuned": True})


def test_fewer_trials_than_there_are_change_nothing(tiny, tiny_folds, capsys):
    search_loss(tiny, 0, trials=2)
    path = fold_folder(tiny, 0) / "tuned_loss.json"
    before = path.read_bytes()
    search_loss(tiny, 0, trials=1)
    assert "2 trials have ended, 1 are asked for" in capsys.readouterr().out
    assert path.read_bytes() == before
    path.unlink()  # concluded again, from the same trials
    search_loss(tiny, 0, trials=1)
    assert path.read_bytes() == before


STARTS = [{"x": 0.5}, {"x": 0.25}]


def trial(number: int, state: str, **params: float) -> optuna.trial.FrozenTrial:
    """A trial as a study lists it; parameters are those that it was enqueued with."""
    attrs = {"fixed_params": params} if params else {}
    made = optuna.trial.create_trial(
        state=optuna.trial.TrialState[state],
        value=1.0 if state == "COMPLETE" else None,
        system_attrs=attrs,
    )
    made.number = number
    return made


def test_which_trials_are_wanted():
    plain = Wanted(2)
    lower = [trial(0, "COMPLETE"), trial(1, "FAIL"), trial(2, "RUNNING"), trial(3, "RUNNING")]
    assert plain.problem(2, {}, lower) is None
    assert plain.problem(3, {}, lower) == "enough without it"
    assert Wanted(3).problem(3, {}, lower) is None

    first = Wanted(2, STARTS)  # places are kept for both starts
    assert first.problem(0, {}, [trial(0, "RUNNING")]) == "enough without it"
    tried = [trial(0, "RUNNING", x=0.5), trial(1, "WAITING", x=0.5), trial(2, "WAITING", x=0.25)]
    assert first.problem(0, {"x": 0.5}, tried) is None
    assert first.problem(1, {"x": 0.5}, tried) == "tried already"
    killed = [trial(0, "FAIL", x=0.5), trial(1, "RUNNING", x=0.25), trial(2, "RUNNING")]
    assert first.problem(2, {}, killed) == "enough without it"
    assert first.problem(3, {"x": 0.5}, killed[:2]) is None
    assert first.next_up(killed) == (3, {"x": 0.5})
    assert first.next_up([*killed, trial(3, "WAITING")]) == (3, {})


def test_a_worker_waits_only_while_others_are_at_work():
    wanted = Wanted(2)
    assert wanted.has_room([trial(0, "COMPLETE"), trial(1, "FAIL")])
    assert not wanted.has_room([trial(0, "COMPLETE"), trial(1, "RUNNING")])
    assert wanted.has_room([trial(0, "COMPLETE"), trial(1, "FAIL"), trial(2, "RUNNING")][:2])
    in_the_way = [trial(0, "COMPLETE"), trial(1, "WAITING"), trial(2, "WAITING")]
    assert wanted.has_room(in_the_way)


def test_a_killed_trial_counts_as_failed_and_a_start_is_tried_again(tiny):
    with open_search(tiny, "killed", 0) as search:
        search.study.enqueue_trial(STARTS[0])
        search.study.ask().suggest_float("x", 0, 1)  # and is left running
    with open_search(tiny, "killed", 0) as search:
        assert [t.state.name for t in search.study.trials] == ["FAIL"]
        search.run(lambda t: t.suggest_float("x", 0, 1), 3, STARTS, "again")
        ended = ended_trials(search.study)
        assert [t.params for t in ended[:2]] == STARTS and len(ended) == 3
        assert best_trial(search.study).params["x"] == max(t.params["x"] for t in ended)


def test_of_equal_trials_the_first_is_best_and_none_is_an_error(tiny):
    with open_search(tiny, "equal", 0) as search:
        search.run(lambda t: 0 * t.suggest_float("x", 0, 1), 3, STARTS, "equal")
        assert best_trial(search.study).number == 0
    with open_search(tiny, "none", 0) as search:
        search.run(lambda t: float("nan"), 2, [], "none")
        with pytest.raises(UserError, match="all 2 trials were pruned"):
            best_trial(search.study)


def test_a_trial_that_others_gave_up_is_passed_over(tiny):
    seen = []

    def objective(t):
        seen.append(t.number)
        if len(seen) == 1:  # as if this worker had been paused, and another had failed its trial
            t.study.tell(t.number, state=optuna.trial.TrialState.FAIL)
        t.report(0.5, 0)
        return 0.5

    with open_search(tiny, "paused", 0) as search:
        search.run(objective, 2, [], "paused")
        assert [t.state.name for t in search.study.trials] == ["FAIL", "COMPLETE", "COMPLETE"]


def die_at_call(number: int) -> None:
    """Let this process end, as if by SIGKILL, at the n-th time that a study is changed."""
    left = [number]

    def dying(method):
        def call(*words, **named):
            left[0] -= 1
            if not left[0]:
                os._exit(9)
            return method(*words, **named)

        return call

    for name in (
        "create_new_study",
        "set_study_system_attr",
        "_create_new_trial",
        "_set_trial_param",
        "set_trial_system_attr",
        "set_trial_user_attr",
        "set_trial_intermediate_value",
        "set_trial_state_values",
    ):
        storage = optuna.storages.RDBStorage
        setattr(storage, name, dying(getattr(storage, name)))


def search_in_a_child(recipe, sampler, die_at: int | None) -> int:
    """Fourteen trials with two starts in a forked process; returns its exit code."""

    def objective(t):
        x, y = t.suggest_float("x", 0.01, 1, log=True), t.suggest_int("y", 0, 5)
        t.report(x + y, 1)
        if t.should_prune() and y > 4:
            raise optuna.TrialPruned
        return (x - 0.3) ** 2 + y

    process = os.fork()
    if process:
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    try:
        if die_at:
            die_at_call(die_at)
        with open_search(recipe, "dying", 0, sampler) as search:
            search.run(objective, 14, [{"x": 0.5, "y": 2}, {"x": 0.2, "y": 3}], "dying")
        os._exit(0)
    finally:
        os._exit(1)


def ended_in(recipe) -> list:
    study = optuna.load_study(study_name=f"{recipe.name}: dying", storage=storage_url(recipe))
    assert all(t.state.is_finished() for t in study.trials)
    return [(t.params, t.value, t.state, t.intermediate_values) for t in ended_trials(study)]


def search_with_and_without_kills(recipe, sampler) -> None:
    """Exits with 0 if a search that dies at its first change, at its second … ends the same.

    Runs in a process of its own: one that has used torch's threads must not fork.
    """

    def at(folder: str):
        machine = recipe.machine.model_copy(update={"runs": recipe.machine.runs / folder})
        return recipe.model_copy(update={"machine": machine})

    assert search_in_a_child(at("whole"), sampler, None) == 0
    codes = []
    while not codes or codes[-1]:
        codes.append(search_in_a_child(at("killed"), sampler, len(codes) + 1))
    assert set(codes) == {0, 9} and len(codes) > 20
    whole = ended_in(at("whole"))
    assert sum(t[2].name == "COMPLETE" for t in whole) > 10  # both start with ten random ones
    assert len(whole) == 14 and ended_in(at("killed")) == whole


@pytest.mark.parametrize("sampler", [optuna.samplers.TPESampler, optuna.samplers.GPSampler])
def test_a_search_that_is_killed_again_and_again_is_the_same_search(tiny, sampler):
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=search_with_and_without_kills, args=(tiny, sampler))
    process.start()
    process.join(60)
    process.kill()
    assert process.exitcode == 0


def test_unpromising_trials_are_pruned(tiny):
    values = iter((0.9, 0.8, 0.7, 0.1))

    def objective(trial):
        class State:
            epoch, history = 2, [{"f1": next(values)}]

        loss_search.Pruner(trial).after_epoch(State)
        return State.history[-1]["f1"]

    with open_search(tiny, "pruning", 0) as search:
        search.run(objective, 4, [], "pruning")
        assert [t.state.name for t in search.study.trials] == 3 * ["COMPLETE"] + ["PRUNED"]


def noisy_images(n: int = 6, size: int = 64) -> OutOfFold:
    """A line each, probabilities higher on it, one spurious island."""
    rng = np.random.default_rng(0)
    skeletons = np.zeros((n, size, size), bool)
    skeletons[:, size // 2, 8:56] = True
    p = np.where(skeletons, 0.6, 0.2) + rng.normal(0, 0.12, skeletons.shape)
    p[:, 5:7, 5] = 0.95
    shapes = np.zeros(skeletons.shape, np.uint8)
    shapes[:, 3:60, 3:60] = 255
    return OutOfFold(
        [f"line-{i}.png" for i in range(n)], quantize(np.clip(p, 0, 1)), skeletons, shapes
    )


def test_sweep_agrees_with_postprocessing_one_by_one():
    images, settings = noisy_images(), Postprocess()
    thresholds, f1 = sweep(images, settings)
    for t in (50, 120, 200):
        direct = threshold_search.f1_of(images, thresholds[t], settings)
        assert f1[:, t] == pytest.approx(direct)


def test_cross_fitting_uses_the_other_parts_threshold():
    # ten images; the first part (images 0 and 5) wants threshold 1, all others threshold 0
    f1 = np.tile([0.9, 0.1], (10, 1))
    f1[[0, 5]] = [0.2, 1.0]
    assert cross_fitted_f1(f1) == pytest.approx((8 * 0.9 + 2 * 0.2) / 10)


def test_cross_fitted_figures_are_at_those_thresholds():
    images, settings = noisy_images(), Postprocess()
    figures = cross_fitted_scores(images, settings)
    assert figures["images"] == len(images.names)
    assert figures["f1"] == pytest.approx(cross_fitted_f1(sweep(images, settings)[1]))


def test_threshold_search_is_within_tolerance_of_the_sweep(tiny, tiny_folds, monkeypatch):
    images = noisy_images()
    train_fold(tiny, 0)
    monkeypatch.setattr(threshold_search, "load_out_of_fold", lambda recipe: images)
    result = search_threshold(tiny)
    chosen = Postprocess(**result["postprocess"])
    at_choice = threshold_search.f1_of(images, result["threshold"], chosen).mean()
    assert result["f1"] == pytest.approx(at_choice)
    for switches in (Postprocess(), tiny.postprocess, chosen):
        assert at_choice >= sweep(images, switches)[1].mean(0).max() - 0.0005
    assert (tiny.run_folder / "threshold.png").stat().st_size > 1000


def test_a_poor_study_is_overruled_by_the_sweep(tiny, tiny_folds, monkeypatch, capsys):
    images = noisy_images()
    train_fold(tiny, 0)
    monkeypatch.setattr(threshold_search, "load_out_of_fold", lambda recipe: images)
    one_trial = tiny.threshold_search.model_copy(update={"trials": 1})
    result = search_threshold(tiny.model_copy(update={"threshold_search": one_trial}))
    assert not result["within_tolerance"] and "sweep's choice" in capsys.readouterr().out
    assert result["f1"] == result["f1_sweep"] > result["f1_study"]


@pytest.mark.parametrize(
    "named",
    [
        {"components": "one", "join": "drop"},
        {"components": "per_shape", "thin": True},
        {"components": "any", "spur_px": 3},
        {"components": "one", "join": "candidates"},
    ],
)
def test_what_the_recipe_names_is_kept_and_its_cost_is_known(tiny, tiny_folds, monkeypatch, named):
    images = noisy_images()
    train_fold(tiny, 0)
    monkeypatch.setattr(threshold_search, "load_out_of_fold", lambda recipe: images)
    result = search_threshold(tiny.model_copy(update={"postprocess": Postprocess(**named)}))
    assert result["postprocess"].items() >= named.items()
    chosen = Postprocess(**result["postprocess"])
    at_choice = threshold_search.f1_of(images, result["threshold"], chosen).mean()
    assert result["f1"] == pytest.approx(at_choice) == result["after"]["f1"]
    assert result["f1_without_postprocessing"] == pytest.approx(
        sweep(images, Postprocess())[1].mean(0).max()
    )
    assert result["before"]["f1"] == pytest.approx(result["f1_without_postprocessing"])
    if named["components"] != "any":
        assert result["after"]["one_component"] == 1 and result["after"]["breaks"] == 0


def test_searched_switches_are_never_below_plain_thresholding(tiny, tiny_folds, monkeypatch):
    images = noisy_images()
    train_fold(tiny, 0)
    monkeypatch.setattr(threshold_search, "load_out_of_fold", lambda recipe: images)
    f1_of = threshold_search.f1_of

    def worse(images, threshold, settings):  # as if every switch spoilt the skeletons
        return f1_of(images, threshold, settings) * (1 if settings.is_plain else 0.5)

    monkeypatch.setattr(threshold_search, "f1_of", worse)
    result = search_threshold(tiny)
    assert Postprocess(**result["postprocess"]).is_plain
    assert result["f1"] >= result["f1_without_postprocessing"]


def test_switches_are_part_of_a_search(tiny):
    one = tiny.model_copy(update={"postprocess": Postprocess(components="one")})
    any_named = tiny.model_copy(update={"postprocess": Postprocess(components="any")})
    assert len({threshold_search.identity_of_search(r) for r in (tiny, one, any_named)}) == 3
    assert all("components" not in start for start in starts(any_named))
    trial = optuna.trial.FixedTrial(starts(one)[1])
    assert suggest(trial, one) == (0.8, Postprocess(components="one"))


def test_another_search_space_is_another_search(tiny, monkeypatch):
    before = threshold_search.identity_of_search(tiny)
    monkeypatch.setitem(threshold_search.SPACE, "join", ["drop", "path", "candidates"])
    assert threshold_search.identity_of_search(tiny) != before


def test_a_diverging_trial_is_pruned_and_the_search_goes_on(tiny, tiny_folds, monkeypatch):
    train_epoch, epochs = Fitting.train_epoch, []

    def diverge_once(self, model, state, after_step):
        epochs.append(state.epoch)
        if len(epochs) == 2:
            raise Diverged("the loss became nan")
        return train_epoch(self, model, state, after_step)

    monkeypatch.setattr(Fitting, "train_epoch", diverge_once)
    search_loss(tiny, 0)
    study = optuna.load_study(
        study_name=read_json(fold_folder(tiny, 0) / "tuned_loss.json")["study"],
        storage=storage_url(tiny),
    )
    assert [t.state.name for t in study.trials] == ["COMPLETE", "PRUNED"]


def test_folds_of_different_recipes_are_not_mixed(tiny, tiny_folds, overrides):
    train_fold(tiny, 0)
    train_fold(recipe.load("demo", [*overrides, "train.lr=0.1"]), 1)
    with pytest.raises(UserError, match="trained by different recipes"):
        search_threshold(tiny)
    with pytest.raises(UserError, match="trained by different recipes"):
        load_run(tiny.run_folder, [], torch.device("cpu"))


def test_a_run_is_loaded_with_its_threshold(tiny, tiny_folds, overrides):
    cpu = torch.device("cpu")
    with pytest.raises(UserError, match="is not trained"):
        load_run(tiny.run_folder, [], cpu)
    for fold in (0, 1):
        train_fold(tiny, fold)
    assert load_run(tiny.run_folder, [], cpu).threshold == 0.5
    result = search_threshold(tiny)
    run = load_run(tiny.run_folder, [], cpu)
    assert len(run.models) == 2 and run.threshold == result["threshold"]
    train_fold(tiny, "all")
    assert [m.facts["fold"] for m in load_run(tiny.run_folder, [], cpu).models] == ["all"]
    assert len(load_run(tiny.run_folder, ["1"], cpu).models) == 1
    assert newest_run(tiny.run_folder.parent) == tiny.run_folder
    train_fold(recipe.load("demo", [*overrides, "train.lr=0.1"]), 0)
    with pytest.raises(UserError, match="earlier training"):
        load_run(tiny.run_folder, ["1"], cpu)


def test_threshold_search_end_to_end(tiny, tiny_folds):
    with pytest.raises(UserError, match=r"src/train\.py"):
        search_threshold(tiny)
    train_fold(tiny, 0)
    train_fold(tiny, 1)
    result = search_threshold(tiny)
    assert result["images"] == (tiny_folds["fold"] < 2).sum()
    assert result == search_threshold(tiny)  # current: read, not searched again
    assert search_threshold(tiny, trials=10)["trials"] == result["trials"] + 2
    scores = (tiny.run_folder / "scores.csv").read_text()
    assert all(name in scores for name in ("network", "zhang_suen", "lee", "medial_axis"))
