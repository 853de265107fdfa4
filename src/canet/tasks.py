"""What a network is asked beside the skeleton while it learns: further channels of its output.

Ends and junctions, the outline and the way to the skeleton are all in a label and its input; asked
for them, the features that draw the skeleton get to know them. Prediction looks at none of them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn.functional import conv2d, max_pool2d, pad, smooth_l1_loss

from canet.recipe import Loss

REACH_PX = 8  # offsets are asked for up to this far from the skeleton, in units of this


def neighbours_of(skeleton: torch.Tensor) -> torch.Tensor:
    """Number of set pixels among the eight around each: (B, 1, H, W) of 0 and 1 → the same."""
    ring = skeleton.new_ones(1, 1, 3, 3)
    ring[..., 1, 1] = 0
    return conv2d(skeleton, ring, padding=1)


def points_of(skeleton: torch.Tensor) -> torch.Tensor:
    """Ends and junctions of a skeleton, each 3×3: (B, 1, H, W) of 0 and 1 → (B, 2, H, W).

    An end has one neighbour, or none; a junction three or more.
    """
    count = neighbours_of(skeleton)
    found = torch.cat([(count <= 1) * skeleton, (count >= 3) * skeleton], dim=1)
    return max_pool2d(found.float(), 3, stride=1, padding=1)


def contour_of(inside: torch.Tensor) -> torch.Tensor:
    """The pixels of a shape beside its background: (B, 1, H, W) of 0 and 1 → the same."""
    outside = max_pool2d(1 - inside, 3, stride=1, padding=1)
    return inside * outside


def offset_of(skeleton: torch.Tensor, reach: int = REACH_PX) -> tuple[torch.Tensor, torch.Tensor]:
    """The way to the nearest skeleton pixel: (B, 1, H, W) of 0 and 1 → (B, 2, H, W), (B, 1, H, W).

    The first is x and y in px, 0 where the second, which tells whether one is within `reach`, is
    0. By jump flooding (Rong & Tan, 2006), so now and then the way to one almost as near.
    """
    height, width = skeleton.shape[-2:]
    far = 4.0 * reach
    way = torch.where(skeleton > 0, 0.0, far).expand(-1, 2, -1, -1)
    steps = [2**k for k in reversed(range(reach.bit_length()))] + [1]
    for step in steps:
        around = pad(way, (step,) * 4, value=far)
        for down in (-step, 0, step):
            for right in (-step, 0, step):
                rows = slice(step + down, step + down + height)
                columns = slice(step + right, step + right + width)
                there = around[..., rows, columns] + way.new_tensor([right, down]).view(1, 2, 1, 1)
                nearer = there.square().sum(1, True) < way.square().sum(1, True)
                way = torch.where(nearer, there, way)
    near = way.square().sum(1, True) <= reach**2
    return way * near, near.float()


@dataclass(frozen=True)
class Task:
    """A question beside the skeleton.

    Attributes:
        channels: of the answer.
        loss: answer (B, channels, H, W), skeleton and shape (B, 1, H, W) of 0 and 1, and what
            compares logits with a map of 0 to 1 → scalar.
    """

    channels: int
    loss: Callable[..., torch.Tensor]


def _points_loss(logits, skeleton, _inside, compare):
    return (
        sum(compare(a, b) for a, b in zip(logits.split(1, 1), points_of(skeleton).split(1, 1))) / 2
    )


def _contour_loss(logits, _skeleton, inside, compare):
    return compare(logits, contour_of(inside))


def _offset_loss(answer, skeleton, _inside, _compare):
    way, near = offset_of(skeleton)
    wrong = smooth_l1_loss(answer, way / REACH_PX, reduction="none", beta=1 / REACH_PX) * near
    return wrong.sum() / near.sum().clamp(min=1)


# In the order of their channels, behind that of the skeleton; names are keys of the recipe's loss.
TASKS = {
    "points": Task(2, _points_loss),
    "contour": Task(1, _contour_loss),
    "offset": Task(2, _offset_loss),
}


def tasks_of(settings: Loss) -> dict[str, float]:
    """The tasks that a loss asks for, with their weights."""
    weights = {name: getattr(settings, name) for name in TASKS}
    return {name: weight for name, weight in weights.items() if weight}


def task_channels(settings: Loss) -> int:
    """How many channels the network's output has beside the skeleton."""
    return sum(TASKS[name].channels for name in tasks_of(settings))


def task_loss(
    answers: torch.Tensor,
    skeleton: torch.Tensor,
    inside: torch.Tensor,
    settings: Loss,
    compare: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """The weighted losses of all tasks.

    Args:
        answers: (B, `task_channels`, H, W).
        skeleton: labels, (B, 1, H, W) of 0 and 1.
        inside: the shapes, likewise.
        settings: the recipe's `loss` section.
        compare: loss of logits (B, 1, H, W) against a target of 0 to 1.

    Returns:
        scalar.

    Source: end and junction points, contours: the idea is CAMION's (Pixel SkelNetOn 2022);
    how they are built is this project's.
    """
    chosen = tasks_of(settings)
    parts = answers.split([TASKS[name].channels for name in chosen], dim=1)
    return sum(
        weight * TASKS[name].loss(part.float(), skeleton, inside, compare)
        for (name, weight), part in zip(chosen.items(), parts)
    )
