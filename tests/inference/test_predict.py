"""From maps to probabilities: batches, views, several models."""

import numpy as np
import pytest
import torch

from canet.inference.predict import (
    batches_of_one_size,
    from_view,
    pad_to,
    predict_levels,
    probabilities,
    to_view,
    views,
)

CPU = torch.device("cpu")


def test_views_are_undone():
    x = torch.arange(2 * 3 * 4 * 4).reshape(2, 3, 4, 4)
    moved = [to_view(x, t, f) for t, f in views(True)]
    assert len({m.numpy().tobytes() for m in moved}) == 8
    assert all(torch.equal(from_view(m, t, f), x) for m, (t, f) in zip(moved, views(True)))


def test_averaging_over_views_and_models():
    class Where(torch.nn.Module):
        """Logit 2 in the upper left corner, whatever the input."""

        def forward(self, x):
            out = torch.full_like(x, -30.0)
            out[..., 0, 0] = 2.0
            return out

    x, certain = torch.zeros(1, 1, 4, 4), torch.tensor(2.0).sigmoid().item()
    plain = probabilities([Where()], x, precision="float32")
    assert plain[0, 0, 0, 0].item() == pytest.approx(certain) and plain.sum() < 1
    turned = probabilities([Where(), Where()], x, precision="float32", tta=True)
    corners = turned[0, 0, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert corners.tolist() == pytest.approx([certain / 4] * 4)


def test_padding_to_the_stride():
    assert pad_to(np.ones((1, 1, 20, 32)), 16).shape == (1, 1, 32, 32)
    assert pad_to(np.ones((1, 1, 20, 32)), 16).sum() == 20 * 32


class Product(torch.nn.Module):
    """Each pixel's logit is that of its own two channels, and another in training mode."""

    def forward(self, x):
        logits = 3 * x[:, :1] * x[:, 1:]
        return logits + 9 if self.training else logits


@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize("tta", [False, True])
def test_levels_do_not_depend_on_the_batch(batch, tta):
    maps = np.random.default_rng(0).standard_normal((5, 2, 6, 6)).astype(np.float32)
    model = Product().train()
    levels = predict_levels([model], maps, device=CPU, precision="float32", batch=batch, tta=tta)
    assert levels.shape == (5, 6, 6) and levels.dtype == np.uint8 and not model.training
    p = 1 / (1 + np.exp(-3 * maps[:, 0] * maps[:, 1]))
    assert np.abs(levels / 256 - p).max() <= 1 / 256


def test_nothing_is_predicted_of_no_images():
    none = np.empty((0, 2, 6, 6), np.float32)
    levels = predict_levels([Product()], none, device=CPU, precision="float32", batch=3)
    assert levels.shape == (0, 6, 6)


@pytest.mark.parametrize("tta", [False, True])
def test_windows_show_the_same_pixels_and_nothing_beside(tta):
    maps = np.zeros((5, 2, 96, 128), np.float32)
    for k, image in enumerate(maps):
        image[:, 20 + k : 40 + 9 * k, 30 : 70 + 5 * k] = 1
    on = {"device": CPU, "precision": "float32", "batch": 2, "tta": tta}
    whole = predict_levels([Product()], maps, **on)
    seen = predict_levels([Product()], maps, window="shape", **on)
    assert np.array_equal(seen[maps[:, 0] > 0], whole[maps[:, 0] > 0])
    assert np.array_equal(np.unique(seen[maps[:, 0] == 0]), [0, 128])  # unseen, and even odds
    sizes = [len(b) for b in batches_of_one_size(maps, "shape", 2)]
    assert sum(sizes) == 5 and max(sizes) == 2 and len(sizes) == 3
