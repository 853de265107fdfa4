import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from canet.core.recipe import Augment
from canet.geometry.distance import distance_map
from canet.training.augment import EpochSampler, SkeletonDataset, collate_windows


@pytest.fixture
def dataset() -> SkeletonDataset:
    masks = np.zeros((6, 96, 96), bool)
    for i, mask in enumerate(masks):
        mask[30 : 50 + i, 25 : 60 - i] = True
        mask[40:44, 60 - i : 70] = True
    maps = np.stack([distance_map(m) for m in masks])[:, None]
    return SkeletonDataset(maps, masks.astype(np.uint8), Augment(shift_px=10), seed=1)


def test_map_and_label_move_together_and_exactly(dataset):
    for epoch in range(5):
        for index in range(len(dataset)):
            image, label = dataset[epoch, index]
            # equal but for the last bit of OpenCV's square root
            np.testing.assert_allclose(
                distance_map(label[0].numpy() > 0), image[0].numpy(), atol=2e-6
            )


def test_samples_and_epochs_differ_and_repeat(dataset):
    same_image = SkeletonDataset(
        dataset.maps[[0] * 8], dataset.skeletons[[0] * 8], Augment(shift_px=10), seed=1
    )
    first = [same_image[0, i][1] for i in range(8)]
    second = [same_image[1, i][1] for i in range(8)]
    differ = [not torch.equal(a, b) for a, b in zip(first, second)]
    assert len({a.numpy().tobytes() for a in first}) >= 6
    assert sum(differ) >= 6
    assert all(torch.equal(a, same_image[0, i][1]) for i, a in enumerate(first))


def test_all_eight_flips_and_turns_occur(dataset):
    only_turns = SkeletonDataset(
        dataset.maps, dataset.skeletons, Augment(shift_px=0, crop_px=None), seed=0
    )
    assert len({only_turns[e, 0][1].numpy().tobytes() for e in range(80)}) == 8


def test_windows_contain_some_of_the_skeleton(dataset):
    windows = SkeletonDataset(
        dataset.maps, dataset.skeletons, Augment(shift_px=0, crop_px=32), seed=0
    )
    for epoch in range(10):
        image, label = windows[epoch, 2]
        assert image.shape == label.shape == (1, 32, 32)
        assert label.any()


def batches(dataset, workers: int) -> list[torch.Tensor]:
    sampler = EpochSampler(len(dataset), 4, seed=3)
    found = []
    for epoch in range(2):
        sampler.epoch = epoch
        loader = DataLoader(dataset, 4, sampler=sampler, num_workers=workers)
        found += [torch.cat([x, y], 1) for x, y in loader]
    return found


def test_workers_change_nothing(dataset):
    alone, two = batches(dataset, 0), batches(dataset, 2)
    assert len(alone) == 4
    assert all(torch.equal(a, b) for a, b in zip(alone, two))


def test_order_covers_every_image_and_fills_the_last_batch():
    sampler = EpochSampler(10, 4, seed=0)
    order = [i for _, i in sampler]
    assert len(order) == 12 and set(order) == set(range(10))
    sampler.epoch = 1
    assert [i for _, i in sampler] != order


@pytest.mark.parametrize("sized", [False, True])
def test_order_continues_within_an_epoch(sized):
    sizes = np.random.default_rng(0).integers(1, 9, (2, 10, 2))
    sampler = EpochSampler(10, 4, seed=0, sizes=sizes.__getitem__ if sized else None)
    sampler.epoch = 1
    whole = list(sampler)
    sampler.step = 2
    assert list(sampler) == whole[8:]


def test_processes_divide_each_batch_and_an_epoch_covers_every_image():
    whole = list(EpochSampler(10, 4, seed=0))
    parts = [list(EpochSampler(10, 4, seed=0, rank=r, size=2)) for r in (0, 1)]
    assert [len(p) for p in parts] == [6, 6]
    rejoined = [part[b * 2 + i] for b in range(3) for part in parts for i in range(2)]
    assert rejoined == whole and {i for _, i in whole} == set(range(10))


def test_batches_of_similar_size_cover_every_image():
    rng = np.random.default_rng(0)
    sizes = 32 * rng.integers(1, 9, (50, 2))
    plain, grouped = EpochSampler(50, 4, seed=0), EpochSampler(50, 4, seed=0, sizes=lambda _: sizes)

    def area(sampler: EpochSampler) -> int:
        order = np.array([i for _, i in sampler])
        assert len(order) == 52 and set(order) == set(range(50))
        return sizes[order].reshape(-1, 4, 2).max(1).prod(1).sum()

    assert area(grouped) < 0.75 * area(plain)
    first = [i for _, i in grouped]
    heights = sizes[first].reshape(-1, 4, 2)[:, 0, 0]
    assert (np.diff(heights) < 0).any() and (np.diff(heights) > 0).any()  # batches in any order
    grouped.epoch = 1
    assert [i for _, i in grouped] != first


def test_samples_are_windows_padded_together(dataset):
    settings = Augment(flips_and_turns=False, shift_px=0)
    dataset.maps[0, :, :, 40:], dataset.skeletons[0, :, 40:] = 0, 0  # a narrow one
    images = SkeletonDataset(dataset.maps, dataset.skeletons, settings, window="shape")
    samples = [images[0, i] for i in range(6)]
    assert [tuple(x.shape) for x, _ in samples] == [(1, *s) for s in images.sizes(0).tolist()]
    assert len({x.shape for x, _ in samples}) > 1
    x, y = collate_windows(samples)
    assert x.shape == y.shape == (6, 1, 32, 64) and x.dtype == y.dtype == torch.float32
    assert torch.equal(y.sum((1, 2, 3)), torch.tensor(dataset.skeletons.sum((1, 2)) * 1.0))
