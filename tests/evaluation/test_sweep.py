import numpy as np
import pytest
from fake_runs import noisy_images

from canet.core.recipe import Postprocess
from canet.evaluation.out_of_fold import f1_of
from canet.evaluation.sweep import cross_fitted_f1, cross_fitted_scores, sweep


def test_sweep_agrees_with_postprocessing_one_by_one():
    images, settings = noisy_images(), Postprocess()
    thresholds, f1 = sweep(images, settings)
    for t in (50, 120, 200):
        assert f1[:, t] == pytest.approx(f1_of(images, thresholds[t], settings))


@pytest.mark.parametrize("inside", [False, True])
def test_where_nothing_is_above_the_most_probable_pixel_stands_in(inside):
    images, settings = noisy_images(), Postprocess(inside_shape=inside)
    images.levels[0] //= 2  # nothing above one half
    images.levels[0, 5:7, 5] = 0
    images.levels[1:] = np.minimum(images.levels[1:], 250)
    thresholds, f1 = sweep(images, settings)
    for t in (120, 140, 252, len(thresholds) - 1):
        assert f1[:, t] == pytest.approx(f1_of(images, thresholds[t], settings))
    assert 0 < f1[0, 140] < 0.1


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
