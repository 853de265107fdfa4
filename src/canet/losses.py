"""The loss: λ_dice·Dice + λ_focal·weighted focal and more, at the output and every other head."""

from collections.abc import Sequence

import torch
from segmentation_models_pytorch.losses import DiceLoss
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d, logsigmoid, max_pool2d

from canet.recipe import Loss
from canet.tasks import task_loss, tasks_of

DICE_EPSILON = 1.0
CLDICE_STEPS = 3  # erosions: the widest line that is thinned, in px on either side


def weighted_focal_loss(
    logits: torch.Tensor,
    target: torch.Tensor,
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


def soft_skeleton(p: torch.Tensor, steps: int = CLDICE_STEPS) -> torch.Tensor:
    """What is left of probabilities after thinning: (B, 1, H, W) in 0..1 → the same.

    The sum of what opening takes away, eroded step by step, with pooling in place of sets.

    Source: Shit et al., "clDice – a novel topology-preserving loss function", 2021, algorithm 1.
    """

    def eroded(x: torch.Tensor) -> torch.Tensor:
        upright = -max_pool2d(-x, (3, 1), 1, (1, 0))
        return torch.minimum(upright, -max_pool2d(-x, (1, 3), 1, (0, 1)))

    def ridge(x: torch.Tensor) -> torch.Tensor:
        return (x - max_pool2d(eroded(x), 3, 1, 1)).relu()

    skeleton = ridge(p)
    for _ in range(steps):
        p = eroded(p)
        skeleton = skeleton + (1 - skeleton) * ridge(p)
    return skeleton


def cldice_loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """1 − clDice: how much of each soft skeleton lies on the other's lines, harmonic mean.

    Args:
        logits: (B, 1, H, W).
        target: (B, 1, H, W) in 0..1; a line one pixel wide is its own skeleton.

    Returns:
        scalar, 0 to 1.

    Source: ibid., section 3.
    """
    p = logits.sigmoid()
    drawn, wanted = soft_skeleton(p), soft_skeleton(target)
    precision = ((drawn * target).sum() + 1) / (drawn.sum() + 1)
    recall = ((wanted * p).sum() + 1) / (wanted.sum() + 1)
    return 1 - 2 * precision * recall / (precision + recall)


class SkeletonLoss(nn.Module):
    """The paper's total loss (3) with its auxiliary terms.

    At every scale λ_dice·Dice + λ_focal·focal, where asked for + λ_l1·L1 + λ_cldice·clDice; Dice is
    1 − (2Σyp + 1)/(Σy + Σp + 1) over the batch (the paper's equation (1) prints its ε inside the
    factor 2; this is the usual form).
    Labels of coarser heads are area averages, so they are soft; those of full-size heads (side
    outputs) are the labels themselves. What is asked beside the skeleton (`tasks`) is asked of the
    finest head alone, maps by Dice and focal.

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

    def dice_and_focal(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        s = self.settings
        focal = weighted_focal_loss(logits, target, s.positive_weight, s.negative_weight, s.gamma)
        return s.dice * self.dice(logits, target) + s.focal * focal

    def at_one_scale(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        s = self.settings
        loss = self.dice_and_focal(logits, target)
        if s.l1:
            loss = loss + s.l1 * self.l1(logits, target)
        if s.cldice:
            loss = loss + s.cldice * cldice_loss(logits, target)
        return loss

    def l1(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Mean over pixels of W_pos·y·(1 − p) + W_neg·(1 − y)·p; |y − p| where both weights are 1.

        Unweighted it is lowest for an empty picture wherever a skeleton pixel is the less likely.
        """
        p, s = logits.sigmoid(), self.settings
        wrong = s.positive_weight * target * (1 - p) + s.negative_weight * (1 - target) * p
        return wrong.mean()

    def forward(
        self,
        outputs: Sequence[torch.Tensor],
        target: torch.Tensor,
        label: torch.Tensor | None = None,
        inside: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Total loss, computed in float32 whatever the outputs are.

        Args:
            outputs: logits (B, 1 + task channels, H/s, W/s), fine to coarse.
            target: (B, 1, H, W) in 0..1.
            label: (B, 1, H, W) of 0 and 1, which the target is or is mixed from; for tasks alone.
            inside: the shapes, likewise.
        """
        target = target.float()
        total = target.new_zeros(())
        for logits, weight in zip(outputs, self.settings.scale_weights):
            scaled = adaptive_avg_pool2d(target, logits.shape[-2:])  # (B, 1, H/s, W/s)
            total = total + weight * self.at_one_scale(logits[:, :1].float(), scaled)
        if tasks_of(self.settings):
            answers, compare = outputs[0][:, 1:], self.dice_and_focal
            total = total + task_loss(answers, label.float(), inside, self.settings, compare)
        return total
