"""Faults as a programmer makes them: each is found."""

import pytest
import torch
from torch.nn.functional import adaptive_avg_pool2d

from canet.core.recipe_files import load
from canet.inference.device import choose_kernels
from canet.training.fold import train_fold
from canet.training.losses import SkeletonLoss

forward = SkeletonLoss.forward


def waits_for_a_number(self, outputs, target):
    loss = forward(self, outputs, target)
    return loss * (1 if loss.item() < 1e9 else 2)


def indexes_from_the_cpu(self, outputs, target):
    first = torch.zeros(len(target), dtype=torch.int64)  # on the CPU: is copied there every time
    return forward(self, [o[first] for o in outputs], target)


def counts_what_is_there(self, outputs, target):
    return forward(self, outputs, target) + outputs[0][target > 0].sum()


@pytest.mark.parametrize(
    "fault",
    [waits_for_a_number, indexes_from_the_cpu, counts_what_is_there],
    ids=lambda f: f.__name__,
)
def test_what_waits_for_the_device_is_an_error(fault, on_gpu, no_waits, monkeypatch):
    monkeypatch.setattr(SkeletonLoss, "forward", fault)
    with pytest.raises(RuntimeError, match="synchronizing CUDA operation"):
        train_fold(on_gpu, 0)


def test_a_result_that_stays_on_the_device_is_an_error(on_gpu, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "cpu", lambda tensor: tensor)
    with pytest.raises(TypeError, match=r"can't convert cuda"):
        train_fold(on_gpu, 0)


def test_labels_that_stay_on_the_cpu_are_an_error(on_gpu, monkeypatch):
    monkeypatch.setattr(SkeletonLoss, "forward", lambda s, o, target: forward(s, o, target.cpu()))
    with pytest.raises(RuntimeError, match="on the same device"):
        train_fold(on_gpu, 0)


def test_what_cannot_be_repeated_is_refused_if_asked(settings, tiny_folds, monkeypatch):
    def pooled(self, outputs, target):
        return forward(self, outputs, target) + adaptive_avg_pool2d(outputs[0], 3).sum()

    monkeypatch.setattr(SkeletonLoss, "forward", pooled)
    train_fold(load("demo", settings), 0)
    try:
        with pytest.raises(RuntimeError, match="does not have a deterministic implementation"):
            train_fold(load("demo", [*settings, "machine.deterministic=true"]), 0, force=True)
    finally:
        choose_kernels(deterministic=False)
