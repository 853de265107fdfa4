"""What a step of an optimizer does to the weights."""

import pytest
import torch
from torch import nn

from canet.core.recipe import Train
from canet.training.optimizer import build_optimizer


def step_of(optimizer: str, shape: tuple[int, ...]) -> torch.Tensor:
    """What the first step takes from a weight, over its learning rate."""
    layer = nn.Module()
    layer.weight = nn.Parameter(torch.zeros(shape))
    made = build_optimizer(layer, Train(optimizer=optimizer, lr=0.01, weight_decay=0))
    layer.weight.grad = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    made.step()
    return -layer.weight.detach() / 0.01


def test_muons_step_is_orthogonal_and_as_large_as_adamws():
    taken = step_of("muon", (8, 4, 3, 3)).reshape(8, 36)
    lengths = torch.linalg.svdvals(taken)
    assert lengths.max() / lengths.min() < 1.5  # the gradient's: 2.5
    assert taken.square().mean().sqrt() == pytest.approx(0.2, rel=0.15)


@pytest.mark.parametrize("shape", [(8,), (1, 8, 1, 1)], ids=["a bias", "the last layer"])
def test_what_is_no_matrix_gets_adamws_step(shape):
    torch.testing.assert_close(step_of("muon", shape), step_of("adamw", shape))


def test_sgd_is_nesterovs_with_decay():
    """The paper's optimizer, two steps by hand."""
    layer = nn.Module()
    layer.weight = nn.Parameter(torch.tensor([1.0, -2.0]))
    settings = Train(optimizer="sgd", lr=0.1, momentum=0.9, weight_decay=0.01)
    made, weight, velocity = build_optimizer(layer, settings), torch.tensor([1.0, -2.0]), 0
    for gradient in (torch.tensor([0.5, 1.0]), torch.tensor([-1.0, 3.0])):
        layer.weight.grad = gradient.clone()
        made.step()
        decayed = gradient + 0.01 * weight
        velocity = 0.9 * velocity + decayed
        weight = weight - 0.1 * (decayed + 0.9 * velocity)
        torch.testing.assert_close(layer.weight.detach(), weight)
