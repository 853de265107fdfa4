"""Training samples: cached maps and labels, flipped, turned and shifted.

What is drawn for a sample is a function of (seed, epoch, index), so neither the number of loader
processes nor a restart changes it.
"""

from collections.abc import Callable, Iterator
from functools import cached_property

import albumentations as A
import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from canet.core.recipe import Augment
from canet.data.windows import box_of, padded_together, window_of, window_sizes
from canet.training.relabel import Relabeller

# Elements of the square's symmetry group as quarter turns counter-clockwise after a flip.
ELEMENTS = {
    "e": (0, False),
    "r90": (1, False),
    "r180": (2, False),
    "r270": (3, False),
    "h": (0, True),
    "t": (1, True),
    "v": (2, True),
    "hvt": (3, True),
}


def random_seed(*parts: int) -> int:
    """A 32-bit seed that depends on all parts."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


def build_transform(settings: Augment) -> A.Compose:
    """The recipe's augmentation: exact pixel moves only, nothing is interpolated.

    Args:
        settings: the recipe's `augment` section.

    Source: flips and quarter turns as in Nguyen's code, 2021; it shifts, too, as far as the image's
    border and never down. The paper has no word of augmentation.
    """
    steps = []
    if settings.flips_and_turns:
        steps.append(A.D4(p=1))
    if settings.crop_px:
        steps.append(A.CropNonEmptyMaskIfExists(settings.crop_px, settings.crop_px, p=1))
    if settings.shift_px:
        reach = (-settings.shift_px, settings.shift_px)
        steps.append(
            A.Affine(
                translate_px={"x": reach, "y": reach},
                interpolation=cv2.INTER_NEAREST,
                mask_interpolation=cv2.INTER_NEAREST,
                p=1,
            )
        )
    return A.Compose(steps)


class SkeletonDataset(Dataset):
    """Pairs of input (C, H, W) float32 and label (1, H, W) float32 of 0 and 1.

    Args:
        maps: (N, C, H, W) float32, the network's inputs.
        skeletons: (N, H, W) uint8 of 0 and 1.
        augment: None gives the images as they are.
        seed: of the augmentation.
        relabel: draws images anew, before windows are cut; None moves pixels only.
        window: the recipe's `input.window`; samples have the sizes of their windows then.
    """

    def __init__(
        self,
        maps: np.ndarray,
        skeletons: np.ndarray,
        augment: Augment | None = None,
        *,
        seed: int = 0,
        relabel: Relabeller | None = None,
        window: str = "image",
    ):
        self.maps, self.skeletons, self.seed, self.relabel = maps, skeletons, seed, relabel
        self.window = window
        self.transform = self.cut = None
        if augment:
            self.transform = build_transform(augment)
            placed = augment.model_copy(update={"flips_and_turns": False, "shift_px": 0})
            self.cut = build_transform(placed)  # what is drawn anew lies anywhere already

    def __len__(self) -> int:
        return len(self.maps)

    def __getitem__(self, key: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        epoch, index = key
        seed = random_seed(self.seed, epoch, index)
        map_, mask, transform = self.maps[index], self.skeletons[index], self.transform
        if self.relabel and (drawn := self.relabel(index, seed)):
            (map_, mask), transform = drawn, self.cut
        image = map_.transpose(1, 2, 0)  # (H, W, C)
        if transform:
            transform.set_random_seed(seed)
            moved = transform(image=image, mask=mask)
            image, mask = moved["image"], moved["mask"]
        image, mask = image.transpose(2, 0, 1), mask[None]  # (C, H, W), (1, H, W)
        if self.window == "shape":
            rows, columns = window_of(image)
            image, mask = image[:, rows, columns], mask[:, rows, columns]
        image = np.ascontiguousarray(image, np.float32)
        return torch.from_numpy(image), torch.from_numpy(mask.astype(np.float32))

    def sizes(self, epoch: int) -> np.ndarray:
        """Sides of an epoch's windows as far as they can be told beforehand, (N, 2) int64.

        Flips, shifts and `augment.crop_px` are not looked at.
        """
        boxes = self._boxes.copy()
        for index in range(len(self) if self.relabel else 0):
            affine = self.relabel.affine(index, random_seed(self.seed, epoch, index))
            if affine is not None:
                boxes[index] = self.relabel.box(index, affine)
        return window_sizes(boxes, self.maps.shape[-2:])

    @cached_property
    def _boxes(self) -> np.ndarray:
        """Height and width of the images as they are, (N, 2) float64."""
        return np.array([np.ptp(box_of(m), axis=1) for m in self.maps], np.float64)


def collate_windows(
    samples: list[tuple[torch.Tensor, torch.Tensor]],
) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch of samples of any sizes, with zeros to the right and below."""
    inputs, labels = zip(*samples, strict=True)
    return tuple(
        torch.from_numpy(padded_together([t.numpy() for t in part])) for part in (inputs, labels)
    )


class EpochSampler(torch.utils.data.Sampler[tuple[int, int]]):
    """(epoch, index) pairs in an order that is a function of (seed, epoch).

    The last batch is completed from the epoch's beginning, so that batch statistics never come
    from a handful of images, and every image is seen at least once.

    Args:
        count: number of images.
        batch: images a batch, of all processes together.
        seed: of the order.
        rank: of this process; it gets that part of each batch.
        size: number of processes, a divisor of `batch`.
        sizes: of the images in an epoch, (N, 2); batches are then of images of similar size, so
            that little is padded. None: batches of any images.
    """

    def __init__(
        self,
        count: int,
        batch: int,
        seed: int,
        *,
        rank: int = 0,
        size: int = 1,
        sizes: Callable[[int], np.ndarray] | None = None,
    ):
        self.count, self.batch, self.seed, self.sizes = count, batch, seed, sizes
        self.rank, self.size = rank, size
        self.epoch, self.step = 0, 0  # what the next iteration yields: an epoch, from a step on

    @property
    def steps(self) -> int:
        return -(-self.count // self.batch)

    def __len__(self) -> int:
        return self.steps * self.batch // self.size

    def __iter__(self) -> Iterator[tuple[int, int]]:
        rng = np.random.default_rng([self.seed, self.epoch])
        order = np.resize(rng.permutation(self.count), self.steps * self.batch)
        if self.sizes:
            order = self._by_size(order, rng)
        parts = order.reshape(self.steps, self.size, self.batch // self.size)
        chosen = parts[self.step :, self.rank].ravel()
        return ((self.epoch, int(index)) for index in chosen)

    def _by_size(self, order: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Batches of similar height and width, in random order."""
        height, width = self.sizes(self.epoch)[order].T
        batches = order[np.lexsort((width, height))].reshape(self.steps, self.batch)
        return rng.permutation(batches).ravel()
