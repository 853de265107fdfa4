"""What must hold for any data set: the generated one, and the real one where it is in input/."""

from pathlib import Path

import numpy as np
import pytest

from canet import metrics
from canet.classical import METHODS
from canet.dataset import ImageFolders, find_problems, list_images, read_skeleton
from canet.distance import closed, fill_holes, inside
from canet.files import REPOSITORY, read_grey
from canet.folds import assign_folds, find_leak
from canet.recipe import Data, Folds

REAL = REPOSITORY / "input" / "pixel-skelneton"
SETS = ["generated", *(["real"] if (REAL / "img_train_shape").is_dir() else [])]


@pytest.fixture(params=SETS)
def folders(request, data_root) -> ImageFolders:
    root = data_root if request.param == "generated" else REAL
    return ImageFolders(root, Data(root=root))


@pytest.fixture
def pairs(folders) -> list[tuple[Path, np.ndarray, np.ndarray]]:
    """Every 10th labelled image of a large set, all of a small one: path, shape, skeleton."""
    paths = list_images(folders.train_shapes)
    paths = paths[:: max(1, len(paths) // 100)]
    return [(p, read_grey(p), read_skeleton(folders.train_skeletons / p.name)) for p in paths]


def test_nothing_is_wrong_with_it(folders):
    assert find_problems(folders) == []


def test_labels_are_one_thin_piece_inside_the_closed_shape(pairs):
    for path, shape, skeleton in pairs:
        assert metrics.component_count(skeleton) == 1, path
        assert not (skeleton & ~closed(inside(shape))).any(), path
        assert METHODS["zhang_suen"](skeleton.astype(np.uint8)).sum() > 0.8 * skeleton.sum(), path


def test_repair_leaves_no_small_hole(pairs):
    for path, shape, _ in pairs:
        repaired = fill_holes(inside(shape), 25)
        assert (repaired >= inside(shape)).all(), path
        assert (fill_holes(repaired, 25) == repaired).all(), path
        assert not (repaired & ~closed(inside(shape))).sum() > 100, path


@pytest.mark.parametrize("scheme", ["stratified", "grouped"])
def test_its_folds_leak_nothing(folders, scheme):
    paths, settings = list_images(folders.train_shapes), Folds(scheme=scheme, count=5)
    table = assign_folds(paths, settings)
    assert find_leak(table, [p.name for p in paths], settings) is None
    assert table["fold"].value_counts().max() <= 1.5 * len(paths) / 5


def test_classical_methods_are_far_from_the_labels(pairs):
    """The metric forgives nothing: thinning a shape does not give its label."""
    for name in ("zhang_suen", "lee", "medial_axis"):
        f1 = [metrics.f1_score(METHODS[name](shape), skeleton) for _, shape, skeleton in pairs]
        assert 0.2 < np.mean(f1) < 0.8
