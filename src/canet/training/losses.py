"""The loss: λ_dice·Dice + λ_focal·weighted focal and more, at the output and every other head."""

from collections.abc import Sequence

import torch
from segmentation_models_pytorch.losses import DiceLoss
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d, logsigmoid

from canet.core.recipe import Loss

DICE_EPSILON = 1.0


def weighted_focal_loss(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    positive_weight: float,
    negative_weight: float,
    gamma: float,
) -> torch.Tensor:
    """Mean over pixels of −W_pos·(1−p)^γ·y·log p − W_neg·p^γ·(1−y)·log(1−p).

    The paper's equation (2) prints p^γ·log p and (1−p)^γ·log(1−p), which would reward easy
    pixels; this is the focal loss of its reference [5].

    Args:
        logits: (B, 1, H, W), p = sigmoid(logits).
        target: (B, 1, H, W) in 0..1.
        positive_weight: W_pos, of skeleton pixels.
        negative_weight: W_neg, of the background.
        gamma: focusing parameter γ ≥ 0; 0 gives weighted cross-entropy.

    Returns:
        scalar.

    Source: Lin et al., "Focal Loss for Dense Object Detection", 2017, section 3.2.
    """
    log_p, log_not_p = logsigmoid(logits), logsigmoid(-logits)
    positive = target * (gamma * log_not_p).exp() * log_p
    negative = (1 - target) * (gamma * log_p).exp() * log_not_p
    return -(positive_weight * positive + negative_weight * negative).mean()


class SkeletonLoss(nn.Module):
    """The paper's total loss (3) with its auxiliary terms.

    At every scale λ_dice·Dice + λ_focal·focal, where asked for + λ_l1·L1. Dice is
    1 − (2Σyp + 1)/(Σy + Σp + 1) over the batch (the paper's equation (1) prints its ε inside the
    factor 2; this is the usual form); of a batch without any skeleton pixel smp's is 0, whatever is
    predicted. Labels of coarser heads are area averages, so they are soft; those of full-size heads
    (side outputs) are the labels themselves. (Nguyen's code truncates coarse labels to whole
    numbers before it picks the focal weight, so that there nearly every pixel counts as background,
    and has squares in Dice's denominator; neither is in the paper.)

    Args:
        settings: the recipe's `loss` section; `scale_weights` weight the heads, fine to coarse,
            heads beyond the list count nothing.

    Source: paper, section 3.3; scale weights and area averaging from Nguyen, "U-Net based
    Skeletonization and Bag of Tricks", 2021.
    """

    def __init__(self, settings: Loss):
        super().__init__()
        self.settings = settings
        # smp adds its smooth to half of both sides: (Σyp + smooth) / (½Σy + ½Σp + smooth)
        self.dice = DiceLoss("binary", from_logits=True, smooth=DICE_EPSILON / 2)

    def at_one_scale(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        s = self.settings
        focal = weighted_focal_loss(
            logits,
            target,
            positive_weight=s.positive_weight,
            negative_weight=s.negative_weight,
            gamma=s.gamma,
        )
        loss = s.dice * self.dice(logits, target) + s.focal * focal
        if s.l1:
            loss = loss + s.l1 * self.l1(logits, target)
        return loss

    def l1(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Mean over pixels of W_pos·y·(1 − p) + W_neg·(1 − y)·p; |y − p| where both weights are 1.

        Unweighted it is lowest for an empty picture wherever a skeleton pixel is the less likely.
        """
        p, s = logits.sigmoid(), self.settings
        wrong = s.positive_weight * target * (1 - p) + s.negative_weight * (1 - target) * p
        return wrong.mean()

    def forward(self, outputs: Sequence[torch.Tensor], target: torch.Tensor) -> torch.Tensor:
        """Total loss, computed in float32 whatever the outputs are.

        Args:
            outputs: logits (B, 1, H/s, W/s), fine to coarse.
            target: (B, 1, H, W) in 0..1.
        """
        target = target.float()
        total = target.new_zeros(())
        for logits, weight in zip(outputs, self.settings.scale_weights):
            scaled = adaptive_avg_pool2d(target, logits.shape[-2:])  # (B, 1, H/s, W/s)
            total = total + weight * self.at_one_scale(logits.float(), scaled)
        return total
