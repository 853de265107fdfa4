from types import SimpleNamespace

import optuna
import pytest

from canet.core import recipe_files
from canet.core.console import UserError
from canet.core.files import read_json
from canet.core.runs import fold_folder
from canet.data.folds import assign_folds, write_folds
from canet.data.training_set import TrainingSet
from canet.search import loss as loss_search
from canet.search.loss import Pruner, inner_split, recipe_as_trial, search_loss, suggest_loss
from canet.search.storage import storage_url
from canet.search.study import open_search
from canet.training.trainer import Diverged, Trainer


@pytest.fixture
def untrained(monkeypatch):
    """Trials that train nothing: their F1 comes from their weights."""

    def objective_of(recipe, train, validation):
        return lambda trial: suggest_loss(trial, recipe).positive_weight

    monkeypatch.setattr(loss_search, "training_objective", objective_of)


def study_of(tiny) -> optuna.Study:
    name = read_json(fold_folder(tiny, 0) / "tuned_loss.json")["study"]
    return optuna.load_study(study_name=name, storage=storage_url(tiny))


def test_loss_search_never_sees_the_held_out_fold(tiny, tiny_folds):
    held_out = set(tiny_folds["image"][tiny_folds["fold"] == 0])
    train, validation = inner_split(tiny, 0, TrainingSet(tiny))
    assert len(train) == 5 and len(validation) == 1
    assert held_out.isdisjoint(train + validation)
    assert set(train).isdisjoint(validation)


def test_a_term_without_weight_is_not_searched(tiny, tiny_folds, untrained):
    dice_alone = tiny.model_copy(update={"loss": tiny.loss.model_copy(update={"focal": 0.0})})
    assert search_loss(dice_alone, 0).focal == 0
    trials = study_of(dice_alone).trials
    assert all("focal" not in t.params and t.params["dice"] > 0 for t in trials)
    assert trials[0].params == recipe_as_trial(dice_alone.loss)


def test_two_folds_are_too_few_and_that_is_said(overrides):
    two = recipe_files.load("demo", [*overrides, "folds.count=2"])
    images = TrainingSet(two)
    write_folds(images.folds_path, assign_folds(images.data.train_shapes, two.folds))
    with pytest.raises(UserError, match=r"folds\.count=2 there are too few: set folds\.count to 3"):
        search_loss(two, 0)
    train, validation = inner_split(two, "all", images)
    assert train and validation


def test_trials_train_and_begin_with_the_recipes_weights(tiny, tiny_folds):
    search_loss(tiny, 0)
    study = study_of(tiny)
    assert len(study.trials) == 2
    assert study.trials[0].params["focal"] == tiny.loss.focal
    assert all(0 <= t.value <= 1 and t.intermediate_values for t in study.trials)
    assert read_json(fold_folder(tiny, 0) / "tuned_loss.json")["inner_f1"] == study.best_value


def test_a_search_continues_and_is_done_once(tiny, tiny_folds, untrained):
    best = search_loss(tiny, 0)
    assert best.positive_weight == study_of(tiny).best_value
    assert best.tuned and best == search_loss(tiny, 0)
    assert len(study_of(tiny).trials) == 2
    search_loss(tiny, 0, trials=3)
    trials = study_of(tiny).trials
    assert len(trials) == 3 and trials[2].params != trials[1].params
    search_loss(tiny, 0, force=True)
    assert len(study_of(tiny).trials) == 2


def test_what_is_not_searched_is_kept(tiny):
    own = {"l1": 1.0, "adversarial": 0.5}
    asked = tiny.model_copy(update={"loss": tiny.loss.model_copy(update=own)})
    trial = optuna.trial.FixedTrial(recipe_as_trial(asked.loss))
    assert suggest_loss(trial, asked) == asked.loss.model_copy(update={"tuned": True})


def test_fewer_trials_than_there_are_change_nothing(tiny, tiny_folds, untrained, capsys):
    search_loss(tiny, 0, trials=2)
    path = fold_folder(tiny, 0) / "tuned_loss.json"
    before = path.read_bytes()
    search_loss(tiny, 0, trials=1)
    assert "2 trials have ended, 1 are asked for" in capsys.readouterr().out
    assert path.read_bytes() == before
    path.unlink()  # concluded again, from the same trials
    search_loss(tiny, 0, trials=1)
    assert path.read_bytes() == before


def test_unpromising_trials_are_pruned(tiny):
    values = iter((0.9, 0.8, 0.7, 0.1))

    def objective(trial: optuna.Trial) -> float:
        state = SimpleNamespace(epoch=2, history=[{"f1": next(values)}])
        Pruner(trial).on_epoch_end(state)
        return state.history[-1]["f1"]

    with open_search(tiny, "pruning", seed=0) as search:
        search.run(objective, total=4, starts=[], label="pruning")
        assert [t.state.name for t in search.study.trials] == 3 * ["COMPLETE"] + ["PRUNED"]


def test_a_diverging_trial_is_pruned_and_the_search_goes_on(tiny, tiny_folds, monkeypatch):
    calls = []

    def train_epoch(self, model, state, on_step_end):
        calls.append(state.epoch)
        if len(calls) == 1:
            raise Diverged("the loss became nan")
        return {"epoch": state.epoch + 1, "loss": 1.0}

    monkeypatch.setattr(Trainer, "train_epoch", train_epoch)
    search_loss(tiny, 0)
    assert [t.state.name for t in study_of(tiny).trials] == ["PRUNED", "COMPLETE"]
