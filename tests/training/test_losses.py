import math

import pytest
import torch

from canet.core.recipe import Loss
from canet.training.losses import SkeletonLoss, weighted_focal_loss


def logits_of(*p: float) -> torch.Tensor:
    return torch.logit(torch.tensor(p)).reshape(1, 1, 1, -1)


def focal(
    logits: torch.Tensor, target: torch.Tensor, positive: float, negative: float, gamma: float
) -> torch.Tensor:
    weights = {"positive_weight": positive, "negative_weight": negative}
    return weighted_focal_loss(logits, target, **weights, gamma=gamma)


def test_focal_by_hand():
    y = torch.tensor([1.0, 0.0]).reshape(1, 1, 1, 2)
    # pixel 1: 0.9 * (1-0.8)^2 * -ln 0.8; pixel 2: 0.1 * 0.3^2 * -ln 0.7
    expected = (0.9 * 0.04 * -math.log(0.8) + 0.1 * 0.09 * -math.log(0.7)) / 2
    found = focal(logits_of(0.8, 0.3), y, 0.9, 0.1, 2.0)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_focal_without_focus_is_cross_entropy():
    torch.manual_seed(0)
    x, y = torch.randn(2, 1, 4, 4), torch.randint(0, 2, (2, 1, 4, 4)).float()
    expected = torch.nn.functional.binary_cross_entropy_with_logits(x, y)
    assert focal(x, y, 1, 1, 0).item() == pytest.approx(expected.item(), rel=1e-5)


def test_focal_punishes_hard_pixels_more():
    y = torch.ones(1, 1, 1, 1)
    easy = focal(logits_of(0.9), y, 1, 1, 2)
    hard = focal(logits_of(0.1), y, 1, 1, 2)
    assert hard > 1000 * easy  # the formula as printed in the paper would say the reverse


def test_focal_is_finite_at_certain_logits():
    x = torch.tensor([200.0, -200.0]).reshape(1, 1, 1, 2).requires_grad_()
    y = torch.tensor([0.0, 1.0]).reshape(1, 1, 1, 2)
    loss = focal(x, y, 0.99, 0.01, 2)
    loss.backward()
    assert loss.isfinite() and x.grad.isfinite().all()


def test_dice_by_hand():
    y = torch.tensor([1.0, 0.0, 1.0]).reshape(1, 1, 1, 3)
    only_dice = SkeletonLoss(Loss(dice=1, focal=0, scale_weights=[1]))
    # 1 - (2*(0.5+0.8) + 1) / ((0.5+0.25+0.8) + 2 + 1)
    expected = 1 - 3.6 / 4.55
    assert only_dice([logits_of(0.5, 0.25, 0.8)], y).item() == pytest.approx(expected, rel=1e-5)


def test_dice_is_that_of_the_whole_batch():
    y = torch.tensor([1.0, 0.0, 0.0, 1.0, 1.0, 1.0]).reshape(2, 1, 1, 3)
    logits = logits_of(0.5, 0.25, 0.1, 0.8, 0.9, 0.7).reshape(2, 1, 1, 3)
    only_dice = SkeletonLoss(Loss(dice=1, focal=0, scale_weights=[1]))
    expected = 1 - (2 * (0.5 + 2.4) + 1) / (0.85 + 2.4 + 4 + 1)
    assert only_dice([logits], y).item() == pytest.approx(expected, rel=1e-5)


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


@pytest.mark.parametrize("p", [0.1, 0.9])
def test_dice_says_nothing_of_a_batch_without_skeletons(p):
    loss = SkeletonLoss(Loss(dice=1.0, focal=0.0))
    assert loss([logits_of(p, p)], torch.zeros(1, 1, 1, 2)) == 0


def test_the_loss_is_computed_in_float32_whatever_the_logits_are():
    torch.manual_seed(0)
    logits, y = torch.randn(2, 1, 8, 8).bfloat16(), torch.randint(0, 2, (2, 1, 8, 8))
    loss = SkeletonLoss(Loss())
    assert loss([logits], y) == loss([logits.float()], y.float())
