"""The adversary of pix2pix: a network that tells predictions from labels, patch by patch."""

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

LEARNING_RATE, BETAS = 2e-4, (0.5, 0.999)
LEAK = 0.2
WIDEST = 8  # times the width


class PatchDiscriminator(nn.Sequential):
    """(B, in_channels, H, W) → (B, 1, H/8 − 2, W/8 − 2) logits, each of a patch of 70×70 pixels.

    Args:
        in_channels: of input and skeleton together.
        width: channels of the first convolution; 64 in the source.

    Source: Isola et al., "Image-to-image translation with conditional adversarial networks",
    2017, appendix 6.1.2.
    """

    def __init__(self, in_channels: int, width: int = 64):
        layers: list[nn.Module] = [nn.Conv2d(in_channels, width, 4, 2, 1), nn.LeakyReLU(LEAK)]
        for factor, stride in ((2, 2), (4, 2), (WIDEST, 1)):
            before = width * factor // 2
            layers += [
                nn.Conv2d(before, width * factor, 4, stride, 1, bias=False),
                nn.BatchNorm2d(width * factor),
                nn.LeakyReLU(LEAK),
            ]
        super().__init__(*layers, nn.Conv2d(width * WIDEST, 1, 4, 1, 1))


class Adversary:
    """The discriminator with its optimizer: a part of training, not of the trained model.

    It sees the input beside the skeleton, and probabilities where the source has pictures. Its
    loss is halved and its optimizer is Adam, as in the source; its learning rate stays.

    Args:
        in_channels: of the network's input.
        width: of the discriminator.
        device: where it is.
    """

    def __init__(self, in_channels: int, width: int, device: torch.device):
        network = PatchDiscriminator(in_channels + 1, width)
        self.network = network.to(device, memory_format=torch.channels_last)
        self.optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE, BETAS)

    def state_dict(self) -> dict:
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])

    def against(self, x: torch.Tensor, logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Learn one step to tell them apart; then how well the logits pass for labels.

        Args:
            x: (B, C, H, W) float, the network's input.
            logits: (B, 1, H, W), its output, which the returned loss has its gradient for.
            y: (B, 1, H, W), the labels, 0 or 1.

        Returns:
            scalar, float32: the cross-entropy of the discriminator's taking them for labels.
        """
        p = logits.float().sigmoid()
        self.network.requires_grad_(True)
        on_labels = self._loss(x, y.float(), 1.0)
        loss = (on_labels + self._loss(x, p.detach(), 0.0)) / 2
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.network.requires_grad_(False)  # the rest is for the generator alone
        return self._loss(x, p, 1.0)

    def _loss(self, x: torch.Tensor, skeleton: torch.Tensor, truth: float) -> torch.Tensor:
        judged = self.network(torch.cat([x.float(), skeleton], dim=1))
        return cross_entropy(judged, torch.full_like(judged, truth))
