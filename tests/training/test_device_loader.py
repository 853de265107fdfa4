import itertools

import numpy as np
import pytest
import torch

from canet.core.recipe import Augment
from canet.data.training_set import Samples
from canet.inference.predict import to_view
from canet.training.augment import ELEMENTS, EpochSampler, build_transform
from canet.training.device_loader import DeviceLoader, draw_moves

CPU = torch.device("cpu")


@pytest.fixture
def samples() -> Samples:
    rng = np.random.default_rng(0)
    maps = rng.random((6, 4, 48, 48)).astype(np.float32)
    return Samples([f"a-{i}.png" for i in range(6)], maps, (maps[:, 0] > 0.9).astype(np.uint8))


def loader(samples: Samples, settings: Augment, batch: int = 4) -> DeviceLoader:
    sampler = EpochSampler(len(samples), batch, seed=3)
    return DeviceLoader(samples, settings, sampler, batch=batch, seed=5, device=CPU)


def shifted(x: torch.Tensor, down: int, right: int) -> torch.Tensor:
    height, width = x.shape[-2:]
    padded = torch.nn.functional.pad(x, (20, 20, 20, 20))
    return padded[..., 20 - down : 20 - down + height, 20 - right : 20 - right + width]


@pytest.mark.parametrize("number, element", list(enumerate(ELEMENTS.values())))
def test_moves_are_those_of_prediction_and_albumentations(samples, number, element):
    made = loader(samples, Augment(crop_px=32))
    row, corner, shift = torch.tensor([2]), torch.tensor([[7, 11]]), torch.tensor([[-6, 9]])
    x, y = made.take(row, corners=corner, elements=torch.tensor([number]), shifts=shift)
    window = np.s_[..., 7:39, 11:43]
    image = torch.from_numpy(samples.maps[2][window])[None]
    label = torch.from_numpy(samples.skeletons[2][window])[None, None].float()
    turned = to_view(image, *element)
    assert torch.equal(x, shifted(turned, -6, 9))
    assert torch.equal(y, shifted(to_view(label, *element), -6, 9))
    by_albumentations = build_transform(Augment(shift_px=0)).transforms[0]
    name = list(ELEMENTS)[number]
    same = by_albumentations.apply(image[0].permute(1, 2, 0).numpy(), group_element=name)
    assert np.array_equal(same.transpose(2, 0, 1), turned[0].numpy())


def test_epochs_differ_repeat_and_continue(samples):
    made = loader(samples, Augment(shift_px=5))
    first = list(made)
    assert len(first) == len(made) == 2
    assert all(torch.equal(a, c) and torch.equal(b, d) for (a, b), (c, d) in zip(first, made))
    made.sampler.step = 1
    (rest,) = made
    assert torch.equal(rest[0], first[1][0])
    made.sampler.step = 2
    assert list(made) == []  # saved after the last step
    made.sampler.epoch, made.sampler.step = 1, 0
    assert not torch.equal(next(iter(made))[0], first[0][0])


def test_without_augmentation_images_come_as_they_are(samples):
    made = loader(samples, Augment(flips_and_turns=False, shift_px=0))
    order = [i for _, i in made.sampler]
    x, y = (torch.cat(parts) for parts in zip(*made))
    assert np.array_equal(x.numpy(), samples.maps[order])
    assert np.array_equal(y[:, 0].numpy(), samples.skeletons[order])


def test_draws_cover_what_they_may(samples):
    settings = Augment(shift_px=2, crop_px=32)
    moves = [draw_moves(settings, samples.skeletons, seed=0, epoch=e, size=32) for e in range(60)]
    assert {int(e) for m in moves for e in m.elements} == set(range(8))
    shifts = {tuple(map(int, s)) for m in moves for s in m.shifts}
    assert shifts == set(itertools.product(range(-2, 3), repeat=2))
    corners = np.concatenate([m.corners for m in moves])
    assert corners.min() == 0 and corners.max() == 16
    for move in moves[:10]:
        for k, (i, j) in enumerate(move.corners):
            assert samples.skeletons[k, i : i + 32, j : j + 32].any()
