"""Networks that look more than once, from the second time on at their own drawing too."""

import numpy as np
import pytest
import torch

from canet.cascade import PIECE_PX, drawn_before, erase_pieces
from canet.files import UserError
from canet.fitting import Fitting, start
from canet.network import CANet, build_network, from_pretrained
from canet.recipe import load
from canet.samples import Samples


@pytest.fixture
def twice() -> CANet:
    torch.manual_seed(0)
    return CANet("resblock4", blocks=1, rounds=2).eval()


def test_the_second_round_sees_what_the_first_drew(twice):
    x = torch.rand(2, 1, 32, 48)
    first = twice(x, drawn=torch.zeros(2, 1, 32, 48))
    again = twice(x, drawn=first.sigmoid())
    assert torch.equal(twice(x), again) and not torch.equal(first, again)
    assert len(twice(x, auxiliary=True)) == 4


def test_a_stored_network_looks_as_often(twice, tmp_path):
    x = torch.rand(1, 1, 32, 32)
    twice.save_pretrained(tmp_path)
    loaded = from_pretrained(tmp_path).eval()
    assert loaded.rounds == 2 and torch.equal(loaded(x), twice(x))


def test_whole_squares_are_erased_of_each_image_another_share():
    torch.manual_seed(0)
    left = erase_pieces(torch.ones(64, 1, 80, 72))
    assert left.shape == (64, 1, 80, 72)
    squares = left[:, :, : 5 * PIECE_PX, : 4 * PIECE_PX].unfold(2, PIECE_PX, PIECE_PX)
    squares = squares.unfold(3, PIECE_PX, PIECE_PX).flatten(-2)
    assert ((squares == 0).all(-1) | (squares == 1).all(-1)).all()
    shares = left.mean((1, 2, 3))
    assert shares.min() < 0.15 and shares.max() > 0.85 and shares.std() > 0.2


def test_half_of_a_batch_starts_from_nothing_and_no_statistics_change(twice):
    twice.train()
    before = {k: v.clone() for k, v in twice.state_dict().items()}
    drawn = drawn_before(twice, torch.rand(5, 1, 64, 64))
    assert not drawn[::2].any() and drawn[1::2].flatten(1).any(1).all()
    assert drawn.min() >= 0 and drawn.max() <= 1 and not drawn.requires_grad
    assert twice.training
    assert all(torch.equal(v, before[k]) for k, v in twice.state_dict().items())
    assert not drawn_before(twice, torch.rand(1, 1, 64, 64)).any()


def test_half_a_batch_needs_an_even_number():
    recipe = load("cpu", ["augment.relabel=0", "model.rounds=2", "train.batch=1"])
    samples = Samples(["a.png"], np.zeros((1, 1, 64, 64), np.float32), np.zeros((1, 64, 64)))
    with pytest.raises(UserError, match="set an even number"):
        Fitting(recipe, samples, None, torch.device("cpu"))


def test_who_looks_once_says_so():
    assert (
        build_network(load("unet", ["model.rounds=2", "model.encoder=resblock8"]).model, 1).rounds
        == 2
    )
    with pytest.raises(UserError, match="nguyen_unet looks once"):
        build_network(load("nguyen", ["model.rounds=2"]).model, 1)


def test_it_trains_and_predicts():
    small = ["model.encoder=resblock8", "augment.relabel=0", "augment.crop_px=32"]
    recipe = load("cpu", [*small, "model.rounds=2"])
    maps = np.random.default_rng(0).random((4, 1, 64, 64), np.float32)
    skeletons = np.zeros((4, 64, 64), np.uint8)
    skeletons[:, 32, 8:56] = 1
    device = torch.device("cpu")
    samples = Samples([f"{k}.png" for k in range(4)], maps, skeletons)
    fitting, state = Fitting(recipe, samples, samples, device), start(recipe, device)
    x, y = next(iter(fitting.loader))
    losses = [fitting.learn(state.model.train(), state, x, y).item() for _ in range(8)]
    assert losses[-1] < 0.9 * losses[0]
    assert fitting.predict_held_out(state.model).shape == (4, 64, 64)
