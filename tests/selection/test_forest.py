"""The forest that chooses among candidates: it learns, is stored, decides."""

import numpy as np
import pytest

from canet.core.console import UserError
from canet.core.files import write_json
from canet.core.recipe import Selection
from canet.core.recipe_files import load as load_recipe
from canet.geometry.candidates import CANDIDATES, ShapeGeometry
from canet.geometry.metrics import component_count
from canet.selection.forest import (
    CONFIG,
    FOREST,
    RUN_FOLDER,
    fit,
    load,
    predict,
    save,
    stored_in,
)


@pytest.fixture(scope="module")
def selector(labelled):
    return fit(labelled.features, labelled.f1, Selection(trees=20))


@pytest.fixture
def stored(selector, tmp_path):
    facts = {"f1_cross_fitted": 0.5, "settings": {}, "commit": "", "finished_at": ""}
    save(selector, tmp_path / "s", facts | {"recipe": load_recipe("geometry").stored()})
    return tmp_path / "s"


def test_the_forest_learns_which_candidate(labelled):
    f1 = labelled.f1
    chosen = fit(labelled.features[:28], f1[:28], Selection(trees=50))
    likely = chosen.probabilities(labelled.features[28:])
    assert likely.shape == (12, len(CANDIDATES)) and likely.sum(1) == pytest.approx(1)
    taken = f1[28:][np.arange(12), likely.argmax(1)].mean()
    assert taken > f1[28:].mean(0).max()  # better than any single candidate


def test_equal_seeds_give_equal_forests(labelled):
    one, two, other = (
        fit(labelled.features, labelled.f1, Selection(trees=3, seed=seed)) for seed in (1, 1, 2)
    )
    likely = [s.probabilities(labelled.features[:9]) for s in (one, two, other)]
    assert (likely[0] == likely[1]).all() and (one.trees.threshold == two.trees.threshold).all()
    assert (
        len(other.trees.left) != len(one.trees.left)
        or (other.trees.threshold != one.trees.threshold).any()
    )


def test_a_stored_forest_decides_alike(selector, stored, labelled):
    again, facts = load(stored)
    assert facts["f1_cross_fitted"] == 0.5 and again.columns == list(labelled.features[0])
    expected = selector.probabilities(labelled.features)
    assert (again.probabilities(labelled.features) == expected).all()


def test_features_go_by_their_names(selector, labelled):
    turned = [dict(reversed(row.items())) | {"more": 1.0} for row in labelled.features]
    expected = selector.probabilities(labelled.features)
    assert (selector.probabilities(turned) == expected).all()
    fewer = [{k: v for k, v in row.items() if k != "area"} for row in labelled.features]
    with pytest.raises(UserError, match="wants the feature area, which is not computed"):
        selector.probabilities(fewer)


def test_what_is_no_stored_forest_is_refused(stored):
    path, facts = stored / FOREST, load(stored)[1]
    with pytest.raises(UserError, match="no stored selection"):
        load(stored / "nowhere")
    write_json(stored / CONFIG, facts | {"candidates": facts["candidates"][::-1]})
    with pytest.raises(UserError, match="made for other candidates"):
        load(stored)
    write_json(stored / CONFIG, facts)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match="damaged or replaced"):
        load(stored)


def test_a_forest_is_found_in_a_run_and_in_a_folder_of_its_own(stored, tmp_path):
    assert stored_in(stored) == stored and stored_in(tmp_path) is None
    home = tmp_path / "run" / RUN_FOLDER
    home.parent.mkdir(parents=True)
    stored.rename(home)
    assert stored_in(tmp_path / "run") == home


def test_predictions_are_one_piece_and_never_empty(selector, labelled):
    odd = {"empty.png": np.zeros((32, 48), np.uint8), "faint.png": np.ones((32, 48), np.uint8)}
    skeletons = predict(selector, {**dict(list(labelled.shapes.items())[:4]), **odd})
    assert all(component_count(s) == 1 for s in skeletons.values())
    assert skeletons["empty.png"].shape == (32, 48) and skeletons["empty.png"][16, 24]
    name, shape = next(iter(labelled.shapes.items()))
    best = CANDIDATES[selector.probabilities(labelled.features[:1]).argmax()]
    assert (skeletons[name] == ShapeGeometry(shape).drawing(best)).all()
    assert (predict(selector, {"empty.png": odd["empty.png"]})["empty.png"].sum()) == 1
