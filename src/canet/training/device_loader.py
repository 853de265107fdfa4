"""Training samples that stay on the device: the moves of `augment`, drawn and done there.

Loader processes cannot feed a fast GPU: at some hundred images a second albumentations, collating
and copying cost more than the network. Here the images lie on the device once, and a batch is one
gather. The moves are those of `augment` (exact, nothing is interpolated), drawn from the same
distributions by another generator.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from canet.core.recipe import Augment
from canet.data.training_set import Samples
from canet.training.augment import ELEMENTS, EpochSampler


@dataclass(frozen=True)
class Moves:
    """How each image of an epoch is moved: first cut, then flipped, turned, at last shifted.

    Attributes:
        corners: (N, 2) int64, row and column at which the window begins.
        elements: (N,) int64, positions in `augment.ELEMENTS`.
        shifts: (N, 2) int64, pixels down and to the right.
    """

    corners: np.ndarray
    elements: np.ndarray
    shifts: np.ndarray


def draw_moves(
    settings: Augment, skeletons: np.ndarray, *, seed: int, epoch: int, size: int
) -> Moves:
    """Moves of all images, a function of (seed, epoch).

    Args:
        settings: the recipe's `augment` section.
        skeletons: (N, H, W) uint8; windows are laid around one of their pixels.
        seed: of the augmentation.
        epoch: counted from 0.
        size: of the windows, H where there are none.
    """
    rng, count = np.random.default_rng([seed, epoch, 1]), len(skeletons)
    elements = rng.integers(len(ELEMENTS), size=count)
    shifts = rng.integers(-settings.shift_px, settings.shift_px + 1, (count, 2))
    picks, before = rng.random(count), rng.integers(size, size=(count, 2))
    corners = np.zeros((count, 2), np.int64)
    if size < skeletons.shape[1]:
        for k, skeleton in enumerate(skeletons):
            pixels = np.argwhere(skeleton)
            if len(pixels):
                corners[k] = pixels[int(picks[k] * len(pixels))] - before[k]
            else:
                corners[k] = before[k]
        corners = corners.clip(0, skeletons.shape[1] - size)
    return Moves(corners, elements if settings.flips_and_turns else np.zeros_like(elements), shifts)


def _affine(turns: int, flip: bool) -> tuple[list[list[int]], list[int]]:
    """Where a pixel of a flipped, then turned unit square comes from: matrix and offset.

    Row and column (i, j) of the result come from matrix·(i, j) + offset·(size − 1).
    """
    matrix, offset = [[1, 0], [0, 1]], [0, 0]
    for _ in range(turns % 4):  # one turn takes (i, j) from (j, 1 − i)
        (a, b), (c, d) = matrix
        matrix = [[-b, a], [-d, c]]
        offset = [offset[0] + b, offset[1] + d]
    if flip:
        matrix, offset = [matrix[0], [-x for x in matrix[1]]], [offset[0], 1 - offset[1]]
    return matrix, offset


class DeviceLoader:
    """Batches (x, y) as `SkeletonDataset` under a loader gives them, made on the device.

    x is (B, C, S, S) float32, y (B, 1, S, S) float32 of 0 and 1; S is the window's size.

    Args:
        samples: the images, square.
        settings: the recipe's `augment` section.
        sampler: tells the order; iterating starts at its epoch and step.
        batch: images a batch, of this process.
        seed: of the augmentation.
        device: where the images stay.
    """

    def __init__(
        self,
        samples: Samples,
        settings: Augment,
        sampler: EpochSampler,
        *,
        batch: int,
        seed: int,
        device: torch.device,
    ):
        self.settings, self.sampler, self.batch, self.seed = settings, sampler, batch, seed
        self.device, self.skeletons = device, samples.skeletons
        self.maps = torch.from_numpy(np.ascontiguousarray(samples.maps)).to(device)
        self.labels = torch.from_numpy(samples.skeletons)[:, None].to(device)
        self.size = settings.crop_px or samples.maps.shape[-1]
        places = [_affine(*element) for element in ELEMENTS.values()]
        self.matrices = torch.tensor([m for m, _ in places], device=device)  # (8, 2, 2)
        self.offsets = torch.tensor([o for _, o in places], device=device)  # (8, 2)

    def __len__(self) -> int:
        return self.sampler.steps

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        epoch = self.sampler.epoch
        moves = draw_moves(
            self.settings, self.skeletons, seed=self.seed, epoch=epoch, size=self.size
        )
        corners, elements, shifts = (
            torch.from_numpy(a).to(self.device)
            for a in (moves.corners, moves.elements, moves.shifts)
        )
        rows = torch.tensor([i for _, i in self.sampler], dtype=torch.int64, device=self.device)
        for chosen in rows.split(self.batch) if len(rows) else ():  # none after the last step
            yield self.take(
                chosen, corners=corners[chosen], elements=elements[chosen], shifts=shifts[chosen]
            )

    def take(
        self,
        rows: torch.Tensor,
        *,
        corners: torch.Tensor,
        elements: torch.Tensor,
        shifts: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """A batch: image numbers (B,) int64 and their moves, see `Moves`."""
        size = self.size
        along = torch.arange(size, device=self.device)
        here = torch.stack(torch.meshgrid(along, along, indexing="ij")).flatten(1)  # (2, S·S)
        before = here - shifts[:, :, None]  # (B, 2, S·S)
        there = ((before >= 0) & (before < size)).all(1, keepdim=True)  # what was shifted in is 0
        # sums of two products rather than matrix products, which CUDA has not for integers
        m = self.matrices[elements][..., None]  # (B, 2, 2, 1)
        source = m[:, :, 0] * before[:, :1] + m[:, :, 1] * before[:, 1:]
        source = source + (self.offsets[elements] * (size - 1) + corners)[:, :, None]
        height, width = self.maps.shape[-2:]
        index = source[:, :1].clamp(0, height - 1) * width + source[:, 1:].clamp(0, width - 1)
        x = self._gather(self.maps, rows, index, there)
        return x, self._gather(self.labels, rows, index, there).float()

    def _gather(
        self, images: torch.Tensor, rows: torch.Tensor, index: torch.Tensor, there: torch.Tensor
    ) -> torch.Tensor:
        channels = images.shape[1]
        flat = images[rows].flatten(2)  # (B, C, H·W)
        moved = flat.gather(2, index.expand(-1, channels, -1)) * there
        return moved.unflatten(2, (self.size, self.size))
