import numpy as np
import pytest
from sklearn.metrics import f1_score as sklearn_f1

from canet.geometry import metrics


def random_pair(seed: int, n: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.random((n, 16, 16)), rng.random((n, 16, 16)) < 0.1


def test_f1_by_hand():
    label = np.array([[1, 1, 1, 0]], bool)
    prediction = np.array([[0, 1, 1, 1]], bool)
    assert metrics.f1_score(prediction, label) == pytest.approx(2 * 2 / (3 + 3))


def test_f1_of_nothing_is_zero():
    empty, full = np.zeros((2, 2), bool), np.ones((2, 2), bool)
    assert metrics.f1_score(empty, full) == 0
    assert metrics.f1_score(empty, empty) == 0


@pytest.mark.parametrize("seed", range(5))
def test_f1_is_scikit_learns(seed):
    p, y = random_pair(seed)
    for probability, label in zip(p, y):
        expected = sklearn_f1(label.ravel(), probability.ravel() > 0.8)
        assert metrics.f1_score(probability > 0.8, label) == pytest.approx(expected)


def test_per_image_and_pooled_differ_as_they_should():
    a = metrics.score_image(np.array([[1, 0, 0, 0]], bool), np.array([[1, 0, 0, 0]], bool))
    b = metrics.score_image(np.array([[1, 1, 1, 1]], bool), np.array([[1, 0, 0, 0]], bool))
    summary = metrics.summarize([a, b])
    assert summary["f1"] == pytest.approx((1 + 0.4) / 2)
    assert summary["pooled_f1"] == pytest.approx(2 * 2 / (5 + 2))


def test_tolerance_of_one_pixel():
    label = np.zeros((9, 9), bool)
    label[4, 1:8] = True
    shifted = np.roll(label, 1, 0)
    assert metrics.recall_within_1px(shifted, label) == 1
    assert metrics.recall_within_1px(np.roll(label, 2, 0), label) == 0


def test_components_are_8_connected():
    diagonal = np.eye(5, dtype=bool)
    assert metrics.component_count(diagonal) == 1
    diagonal[2, 2] = False
    assert metrics.component_count(diagonal) == 2


def test_breaks_blocks_and_loops():
    label = np.zeros((9, 9), bool)
    label[1:8, 1:8] = True
    label[2:7, 2:7] = False  # a ring
    broken = label.copy()
    broken[1, 4] = broken[7, 4] = False
    thick = label.copy()
    thick[2, 2:4] = True
    one, two, wide = (metrics.score_image(p, label) for p in (label, broken, thick))
    assert (one.breaks, one.blocks_2x2, one.euler, one.label_euler) == (0, 0, 0, 0)
    assert (two.breaks, two.euler) == (1, 2)
    assert (wide.breaks, wide.blocks_2x2, wide.euler) == (0, 2, 0)
    summary = metrics.summarize([one, two, wide])
    assert summary["breaks"] == pytest.approx(1 / 3)
    assert summary["blocks_2x2"] == pytest.approx(2 / 3)
    assert summary["euler_match"] == pytest.approx(2 / 3)
    assert metrics.score_image(np.zeros_like(label), label).breaks == 0


def test_sweep_equals_thresholding_one_by_one():
    p, y = random_pair(7)
    p = p.astype(np.float32)
    swept = metrics.sweep_f1(metrics.quantize(p), y)
    for t in (0, 99, 128, 254):
        threshold = metrics.grid_thresholds()[t]
        direct = [metrics.f1_score(image >= threshold, label) for image, label in zip(p, y)]
        assert swept[:, t] == pytest.approx(direct)


def test_best_threshold_separates():
    label = np.zeros((1, 4, 4), bool)
    label[0, 0] = True
    probability = np.where(label, 0.7, 0.6)
    threshold, f1 = metrics.best_threshold(metrics.quantize(probability), label)
    assert 0.6 < threshold <= 0.7
    assert f1 == 1
