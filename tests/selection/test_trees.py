"""Trees as arrays: they say what scikit-learn says, and equal trees are equal files."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier

from canet.core.console import UserError
from canet.selection.trees import Trees

# By hand: at most 0.5 goes to a leaf; else the other feature decides.
HAND = Trees(
    classes=np.array([1, 4]),
    roots=np.array([0, 5]),
    left=np.array([1, -1, 3, -1, -1, -1]),
    right=np.array([2, -1, 4, -1, -1, -1]),
    feature=np.array([0, -2, 1, -2, -2, -2]),
    threshold=np.array([0.5, -2, 7, -2, -2, -2]),
    value=np.array([[0.5, 0.5], [1, 0], [0.25, 0.75], [0, 1], [0.5, 0.5], [0.5, 0.5]]),
)


def fitted(seed: int, **settings) -> tuple[ExtraTreesClassifier, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(300, 12)) * 10 ** rng.uniform(-3, 6, 12)
    classes = rng.choice([0, 2, 3, 7], 300, p=[0.5, 0.3, 0.15, 0.05])
    forest = ExtraTreesClassifier(15, random_state=seed, **settings).fit(features, classes)
    return forest, features


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"criterion": "entropy", "max_features": 0.2},
        {"min_samples_leaf": 4},
        {"max_depth": 1},
        {"min_samples_leaf": 300},
    ],
    ids=["whole", "entropy", "large leaves", "stumps", "roots alone"],
)
def test_probabilities_are_those_of_scikit_learn(settings):
    forest, features = fitted(0, **settings)
    near = np.concatenate([t.tree_.threshold[t.tree_.feature == 3] for t in forest.estimators_])
    others = np.random.default_rng(1).permuted(features, axis=0)
    others[: len(near[:100]), 3] = near[:100]  # where left meets right
    for asked in (features, others, features[:1], features[:0]):
        found = Trees.of(forest).probabilities(asked)
        assert found.shape == (len(asked), 4)
        if len(asked):
            np.testing.assert_allclose(found, forest.predict_proba(asked), rtol=0, atol=1e-12)
    assert Trees.of(forest).classes.tolist() == [0, 2, 3, 7]


def test_two_trees_followed_by_hand():
    asked = np.array([[0.5, 9], [0.6, 7], [0.6, 7.1]])
    expected = [[0.75, 0.25], [0.25, 0.75], [0.5, 0.5]]
    assert HAND.probabilities(asked).tolist() == expected


def test_equal_trees_give_equal_files(tmp_path):
    for name in ("a", "b"):
        Trees.of(fitted(3)[0]).save(tmp_path / name)
    Trees.of(fitted(4)[0]).save(tmp_path / "c")
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b != c


def test_what_was_saved_is_loaded(tmp_path):
    path = tmp_path / "forest.npz"
    for trees in (HAND, Trees.of(fitted(5)[0])):
        trees.save(path)
        again = Trees.load(path, classes=8, features=12)
        for name, array in vars(trees).items():
            found = getattr(again, name)
            assert found.dtype == array.dtype and (found == array).all(), name
    assert [p.name for p in tmp_path.iterdir()] == ["forest.npz"]


def test_trees_of_other_classes_or_features_are_refused(tmp_path):
    HAND.save(tmp_path / "forest.npz")
    assert Trees.load(tmp_path / "forest.npz", classes=5, features=2)
    for classes, features in ((4, 2), (5, 1)):
        with pytest.raises(UserError, match=r"forest\.npz: no forest for these features"):
            Trees.load(tmp_path / "forest.npz", classes=classes, features=features)


def test_trees_without_end_are_refused(tmp_path):
    """The other ways to be broken are in tests/malformed/test_forests.py."""
    circle = replace(HAND, left=np.array([1, -1, 0, -1, -1, -1]))
    circle.save(tmp_path / "forest.npz")
    with pytest.raises(UserError, match="no forest for these features"):
        Trees.load(tmp_path / "forest.npz", classes=5, features=2)
