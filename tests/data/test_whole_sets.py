"""What must hold for any data set: the generated one, and the real one where it is in input/."""

import numpy as np
import pytest
from scipy import ndimage
from tiny import SIZE_PX

from canet.core.console import REPOSITORY
from canet.core.recipe import Data, Folds
from canet.data.checks import find_problems
from canet.data.data_set import DataSet
from canet.data.folds import assign_folds, find_leak
from canet.geometry import metrics
from canet.geometry.classical import METHODS
from canet.geometry.masks import any_mask, closed_mask, fill_holes

REAL = REPOSITORY / "input" / "pixel-skelneton"
SETS = ["generated", *(["real"] if (REAL / "img_train_shape").is_dir() else [])]


@pytest.fixture(params=SETS, scope="module")
def data(request, data_root) -> DataSet:
    if request.param == "generated":
        return DataSet(data_root, Data(root=data_root, size_px=SIZE_PX))
    return DataSet(REAL, Data(root=REAL))


@pytest.fixture
def pairs(data) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Every 10th labelled image of a large set, all of a small one: name, shape, skeleton."""
    names = data.train_shapes.names
    names = names[:: max(1, len(names) // 100)]
    return list(zip(names, data.train_shapes.read_all(names), data.skeletons(names)))


def test_nothing_is_wrong_with_it(data):
    assert find_problems(data) == []


def test_labels_are_one_thin_piece_inside_the_closed_shape(pairs):
    for name, shape, skeleton in pairs:
        assert metrics.component_count(skeleton) == 1, name
        assert not (skeleton & ~closed_mask(shape)).any(), name
        assert METHODS["zhang_suen"](skeleton.astype(np.uint8)).sum() > 0.8 * skeleton.sum(), name


def test_repair_leaves_no_small_hole(pairs):
    for name, shape, _ in pairs:
        mask = any_mask(shape)
        repaired = fill_holes(mask, 25)
        labels, count = ndimage.label(~mask)  # 4-connected
        outside = {0, *labels[[0, -1]].flat, *labels[:, [0, -1]].flat}
        small = [k for k in range(count + 1) if k not in outside and (labels == k).sum() <= 25]
        assert (repaired == (mask | np.isin(labels, small))).all(), name


@pytest.mark.parametrize("scheme", ["stratified", "grouped"])
def test_its_folds_leak_nothing(data, scheme):
    names, settings = data.train_shapes.names, Folds(scheme=scheme, count=5)
    table = assign_folds(data.train_shapes, settings)
    assert find_leak(table, names, settings) is None
    assert table["fold"].value_counts().max() <= 1.5 * len(names) / 5


def test_classical_methods_are_far_from_the_labels(pairs):
    """The metric forgives nothing: thinning a shape does not give its label."""
    for name in ("zhang_suen", "lee", "medial_axis"):
        some = pairs[:: max(1, len(pairs) // 15)]
        f1 = [metrics.f1_score(METHODS[name](shape), skeleton) for _, shape, skeleton in some]
        assert 0.2 < np.mean(f1) < 0.8
