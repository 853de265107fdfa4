"""Training a selection: judged out of fold, current or not, and what it leaves."""

import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from tiny import tiny_recipe

from canet.core.console import UserError
from canet.core.images import write_png
from canet.data.training_set import TrainingSet
from canet.geometry.candidates import ShapeGeometry
from canet.geometry.metrics import f1_score
from canet.selection import forest
from canet.selection.train import (
    Examples,
    cross_fitted_f1,
    healed,
    load_examples,
    out_of_fold,
    train_selection,
    worth_showing,
)


@pytest.fixture
def small(data_root, tmp_path, tiny_folds):
    own = ("method=geometry", "selection.trees=10", "selection.trials=3")
    return tiny_recipe(data_root, tmp_path, *own)


def test_healing_mends_shifts_by_one_pixel_only():
    label, shifted, far = (np.zeros((9, 9), bool) for _ in range(3))
    label[4, 1:8] = shifted[5, 1:8] = far[8, 1:8] = True
    assert f1_score(healed(shifted, label), label) == 1
    assert f1_score(healed(far, label), label) == 0


def test_the_run_of_a_network_is_left_alone(small):
    (small.run_folder / "fold-0" / "model").mkdir(parents=True)
    with pytest.raises(UserError, match="is the run of a network; take --recipe geometry"):
        train_selection(small)
    assert [p.name for p in small.run_folder.iterdir()] == ["fold-0"]


def test_no_image_is_judged_by_a_forest_that_saw_it(small, tiny_folds, monkeypatch):
    examples, seen = load_examples(TrainingSet(small)), []
    fit, name_of = forest.fit, {id(row): n for row, n in zip(examples.features, examples.names)}

    def recorded(features, *rest):
        seen.append({name_of[id(row)] for row in features})
        return fit(features, *rest)

    monkeypatch.setattr(forest, "fit", recorded)
    likely = out_of_fold(examples, small.selection)
    assert likely.sum(1) == pytest.approx(1)
    folds = [set(tiny_folds["image"][tiny_folds["fold"] == k]) for k in range(3)]
    assert seen == [set(examples.names) - held_out for held_out in folds]


def test_an_empty_shape_is_named(data_root, small, tmp_path):
    root = shutil.copytree(data_root, tmp_path / "data" / data_root.name)
    data = small.data.model_copy(update={"root": root})
    images = TrainingSet(small.model_copy(update={"data": data}))
    write_png(root / "img_train_shape" / images.names[3], np.zeros((64, 64), np.uint8))
    with pytest.raises(UserError, match=rf"{images.names[3]}: the shape is empty; remove it"):
        load_examples(images)


def test_settings_are_chosen_on_the_other_folds():
    """The best on the others of each fold, by hand; sizes 2 and 1."""
    examples = SimpleNamespace(fold=np.array([0, 0, 1]))
    scores = [(0.5, 0.9), (0.8, 0.1), (0.6, 0.6)]
    trials = [SimpleNamespace(user_attrs={"f1 of fold 0": a, "f1 of fold 1": b}) for a, b in scores]
    # for fold 0 the best on fold 1 is the first, for fold 1 the best on fold 0 the second
    assert cross_fitted_f1(examples, trials) == pytest.approx((2 * 0.5 + 0.1) / 3)


def test_a_clear_a_close_and_a_wrong_choice_are_shown():
    f1 = np.array([[0.2, 1.0], [0.4, 1.0], [0.3, 1.0], [0.6, 0.5]])
    likely = np.array([[0.1, 0.9], [0.45, 0.55], [0.8, 0.2], [0.4, 0.6]])
    shape = np.full((8, 8), 255, np.uint8)
    names, geometries = list("abcd"), [ShapeGeometry(shape)] * 4
    labels = np.zeros((4, 8, 8), bool)
    examples = Examples(names, geometries, [{}] * 4, labels, np.zeros(4, int), f1)
    assert [d.name for d in worth_showing(examples, likely)] == ["a", "b", "c"]


def test_training_writes_scores_and_is_skipped_when_current(small, capsys):
    first = train_selection(small)
    scores = pd.read_csv(small.run_folder / "scores.csv").set_index("method")
    each = pd.read_csv(small.run_folder / "out_of_fold.csv")
    assert scores.loc["geometry", "f1"] == pytest.approx(each["f1"].mean(), abs=1e-4)
    assert scores.loc["geometry", "one_component"] == 1
    assert scores.loc["oracle: and mask", "f1"] == pytest.approx(each["best_f1"].mean(), abs=1e-4)
    assert first["trials"] == 3 and 0 < first["f1_cross_fitted"] <= first["f1"]
    stored = small.run_folder / forest.RUN_FOLDER / forest.FOREST
    content = stored.read_bytes()
    assert train_selection(small) == first
    assert "skipped" in capsys.readouterr().out
    (small.run_folder / "decisions.png").unlink()
    again = train_selection(small)
    assert "skipped" not in capsys.readouterr().out and again["f1"] == first["f1"]
    assert stored.read_bytes() == content  # the same trees
    forced = train_selection(small, force=True)  # searched anew, and the same is found
    assert forced["study"] != again["study"] and forced["trials"] == 3
    assert forced["f1"] == first["f1"] and train_selection(small) == forced
    fixed = small.selection.model_copy(update={"trials": 0})
    plain = train_selection(small.model_copy(update={"selection": fixed}))
    assert plain["trials"] == 0 and "study" not in plain  # not what a study has chosen
    assert train_selection(small)["trials"] == 3
    stored.write_bytes(content[:-1])  # what is damaged is not current
    assert train_selection(small)["f1"] == first["f1"] and stored.read_bytes() == content
