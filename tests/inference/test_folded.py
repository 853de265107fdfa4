import pytest
import torch
from torch import nn

from canet.core.recipe_files import load
from canet.inference.folded import folded
from canet.network import build_model


def trained_somehow(recipe: str) -> nn.Module:
    """A network whose normalisations are far from the identity."""
    torch.manual_seed(0)
    network = build_model(load(recipe, ["model.encoder=resblock4"]))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.running_mean, module.weight.data, module.bias.data):
                tensor.normal_(0.5, 0.3)
            module.running_var.uniform_(0.5, 2)
    return network


def count(network: nn.Module, kind: type) -> int:
    return sum(isinstance(m, kind) for m in network.modules())


@pytest.mark.parametrize("recipe", ["canet_axis", "paper", "unet", "panichev", "side_outputs"])
def test_it_is_the_same_function_without_normalisations(recipe):
    network = trained_somehow(recipe).train()
    fast, norms = folded(network), count(network, nn.BatchNorm2d)
    assert norms and count(fast, nn.BatchNorm2d) == 0 and count(network, nn.BatchNorm2d) == norms
    assert network.training and not fast.training
    x = torch.rand(2, network.encoder._in_channels, 64, 96)
    with torch.inference_mode():
        expected = network.eval()(x)
        torch.testing.assert_close(fast(x), expected, rtol=1e-3, atol=1e-4 * expected.abs().max())


@pytest.mark.parametrize("recipe", ["nguyen", "pix2pix"])
def test_what_has_other_layers_stays_right(recipe):
    network = trained_somehow(recipe).eval()
    x = torch.rand(1, 1, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(folded(network)(x), network(x), rtol=1e-3, atol=1e-3)
