import math

import pytest
import torch

from canet.losses import SkeletonLoss, cldice_loss, soft_skeleton, weighted_focal_loss
from canet.recipe import Loss


def logits_of(*p: float) -> torch.Tensor:
    return torch.logit(torch.tensor(p)).reshape(1, 1, 1, -1)


def test_focal_by_hand():
    y = torch.tensor([1.0, 0.0]).reshape(1, 1, 1, 2)
    # pixel 1: 0.9 * (1-0.8)^2 * -ln 0.8; pixel 2: 0.1 * 0.3^2 * -ln 0.7
    expected = (0.9 * 0.04 * -math.log(0.8) + 0.1 * 0.09 * -math.log(0.7)) / 2
    found = weighted_focal_loss(logits_of(0.8, 0.3), y, 0.9, 0.1, 2.0)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_focal_without_focus_is_cross_entropy():
    torch.manual_seed(0)
    x, y = torch.randn(2, 1, 4, 4), torch.randint(0, 2, (2, 1, 4, 4)).float()
    expected = torch.nn.functional.binary_cross_entropy_with_logits(x, y)
    assert weighted_focal_loss(x, y, 1, 1, 0).item() == pytest.approx(expected.item(), rel=1e-5)


def test_focal_punishes_hard_pixels_more():
    y = torch.ones(1, 1, 1, 1)
    easy = weighted_focal_loss(logits_of(0.9), y, 1, 1, 2)
    hard = weighted_focal_loss(logits_of(0.1), y, 1, 1, 2)
    assert hard > 1000 * easy  # the formula as printed in the paper would say the reverse


def test_focal_is_finite_at_certain_logits():
    x = torch.tensor([200.0, -200.0]).reshape(1, 1, 1, 2).requires_grad_()
    y = torch.tensor([0.0, 1.0]).reshape(1, 1, 1, 2)
    loss = weighted_focal_loss(x, y, 0.99, 0.01, 2)
    loss.backward()
    assert loss.isfinite() and x.grad.isfinite().all()


def test_dice_by_hand():
    y = torch.tensor([1.0, 0.0, 1.0]).reshape(1, 1, 1, 3)
    only_dice = SkeletonLoss(Loss(dice=1, focal=0, scale_weights=[1]))
    # 1 - (2*(0.5+0.8) + 1) / ((0.5+0.25+0.8) + 2 + 1)
    expected = 1 - 3.6 / 4.55
    assert only_dice([logits_of(0.5, 0.25, 0.8)], y).item() == pytest.approx(expected, rel=1e-5)


def test_scales_are_area_averages_and_weighted():
    y = torch.zeros(1, 1, 4, 4)
    y[..., 0, 0] = 1  # the quarter-size label is 0.25, 0, 0, 0
    loss = SkeletonLoss(
        Loss(dice=0, focal=1, positive_weight=1, negative_weight=1, gamma=0, scale_weights=[0, 0.3])
    )
    coarse = logits_of(0.5, 0.5, 0.5, 0.5).reshape(1, 1, 2, 2)
    found = loss([torch.zeros(1, 1, 4, 4), coarse], y)
    assert found.item() == pytest.approx(0.3 * math.log(2), rel=1e-5)
    sure = logits_of(0.25, 1e-6, 1e-6, 1e-6).reshape(1, 1, 2, 2)
    entropy = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75)) / 4
    found = loss([torch.zeros(1, 1, 4, 4), sure], y)
    assert found.item() == pytest.approx(0.3 * entropy, rel=1e-3)


def test_total_is_float32_under_half_precision():
    y = torch.ones(1, 1, 4, 4)
    total = SkeletonLoss(Loss())([torch.zeros(1, 1, 4, 4, dtype=torch.bfloat16)], y)
    assert total.dtype == torch.float32


def test_soft_skeleton_of_thin_lines_is_themselves_and_of_a_bar_its_middle():
    line = torch.zeros(1, 1, 24, 24)
    line[..., 12, 4:20] = 1
    assert torch.equal(soft_skeleton(line), line)
    bar = torch.zeros(1, 1, 24, 24)
    bar[..., 10:15, 4:20] = 1
    thinned = soft_skeleton(bar)
    assert thinned[..., 12, 8:16].eq(1).all() and not thinned[..., [10, 14], 8:16].any()


def test_cldice_minds_a_gap_more_than_dice_does():
    y = torch.zeros(1, 1, 24, 24)
    y[..., 12, 2:22] = 1
    sure = 20 * y - 10
    assert cldice_loss(sure, y).item() == pytest.approx(0, abs=1e-2)
    gap, fat = sure.clone(), sure.clone()
    gap[..., 12, 8:14] = -10  # 6 of 20 pixels missing
    fat[..., [11, 13], 8:14] = 10  # 12 too many, around the line
    assert cldice_loss(gap, y) > 5 * cldice_loss(fat, y)
    weighted = Loss(dice=0, focal=0, cldice=0.5, scale_weights=[1])
    assert SkeletonLoss(weighted)([gap], y) == 0.5 * cldice_loss(gap, y)
    gap.requires_grad_()
    cldice_loss(gap, y).backward()
    assert gap.grad[..., 12, 8:14].lt(0).all()  # the gap wants to be filled
