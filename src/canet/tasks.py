"""What a network is asked beside the skeleton while it learns: further channels of its output.

Ends and junctions, the outline and the way to the skeleton are all in a label and its input; asked
for them, the features that draw the skeleton get to know them. Prediction looks at none of them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn.functional import max_pool2d, pad, smooth_l1_loss

from canet.recipe import Loss

REACH_PX = 8  # offsets are asked for up to this far from the skeleton, in units of this


def ring_of(skeleton: torch.Tensor) -> torch.Tensor:
    """The eight pixels around each, from the upper left clockwise: (B, 1, H, W) → (B, 8, H, W)."""
    height, width = skeleton.shape[-2:]
    around = pad(skeleton, (1, 1, 1, 1))
    places = [(0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0)]
    return torch.cat([around[..., y : y + height, x : x + width] for y, x in places], dim=1)


def without_corners(skeleton: torch.Tensor) -> torch.Tensor:
    """Lines without the pixels that make a step 4-connected: (B, 1, H, W) of 0 and 1 → the same."""
    for first in (1, 3, 5, 7):  # the corner's arms lie there and a quarter turn on
        ring = ring_of(skeleton)
        arms = ring[:, [first, (first + 2) % 8]].prod(1, True)
        beyond = ring[:, [(first + k) % 8 for k in (4, 5, 6)]].sum(1, True)
        skeleton = skeleton * (1 - arms * (beyond == 0))
    return skeleton


def points_of(skeleton: torch.Tensor) -> torch.Tensor:
    """Ends and junctions of a skeleton, each 3×3: (B, 1, H, W) of 0 and 1 → (B, 2, H, W).

    An end has one neighbour, or none; from a junction three lines or more lead away. Where the
    image ends a line need not.
    """
    thin = without_corners(skeleton)
    ring = ring_of(thin)
    lines = ((ring == 0) & (ring.roll(-1, 1) > 0)).sum(1, True)
    ends = within(thin * (ring.sum(1, True) <= 1), 1)
    found = torch.cat([ends, thin * (lines >= 3)], dim=1)
    return max_pool2d(found.float(), 3, stride=1, padding=1)


def within(maps: torch.Tensor, margin_px: int) -> torch.Tensor:
    """Maps (…, H, W) with 0 up to that far from the image's border."""
    height, width = maps.shape[-2:]
    inner = maps.new_zeros(height, width)
    inner[margin_px : height - margin_px, margin_px : width - margin_px] = 1
    return maps * inner


def contour_of(inside: torch.Tensor) -> torch.Tensor:
    """The pixels of a shape beside its background: (B, 1, H, W) of 0 and 1 → the same."""
    outside = max_pool2d(1 - inside, 3, stride=1, padding=1)
    return inside * outside


def offset_of(skeleton: torch.Tensor, reach: int = REACH_PX) -> tuple[torch.Tensor, torch.Tensor]:
    """The way to the nearest skeleton pixel: (B, 1, H, W) of 0 and 1 → (B, 2, H, W), (B, 1, H, W).

    The first is x and y in px, 0 where the second is 0, which tells whether one is within `reach`
    and no nearer one can lie beyond the image's border. By jump flooding (Rong & Tan, 2006), so
    now and then the way to one almost as near.
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
    near = within((way.square().sum(1, True) <= reach**2).float(), reach)
    return way * near, near


@dataclass(frozen=True)
class Task:
    """A question beside the skeleton.

    Attributes:
        channels: of the answer.
        loss: answer (B, channels, H, W), skeleton and shape (B, 1, H, W) of 0 and 1, and what
            compares logits with a map of 0 to 1 → scalar.
        of_logits: whether the answer is logits, and not lengths.
    """

    channels: int
    loss: Callable[..., torch.Tensor]
    of_logits: bool = True


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
    "offset": Task(2, _offset_loss, of_logits=False),
}


def tasks_of(settings: Loss) -> dict[str, float]:
    """The tasks that a loss asks for, with their weights."""
    weights = {name: getattr(settings, name) for name in TASKS}
    return {name: weight for name, weight in weights.items() if weight}


def task_channels(settings: Loss) -> int:
    """How many channels the network's output has beside the skeleton."""
    return sum(TASKS[name].channels for name in tasks_of(settings))


def lengths_among(settings: Loss) -> list[int]:
    """The channels of the network's output that are no logits."""
    tasks = [TASKS[name] for name in tasks_of(settings)]
    of_logits = [True] + [task.of_logits for task in tasks for _ in range(task.channels)]
    return [k for k, logits in enumerate(of_logits) if not logits]


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
