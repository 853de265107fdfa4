"""What surrounds a CUDA graph, by a graph that computes; tests/gpu/ has the others."""

import contextlib

import pytest
import torch

from canet.training.captured_step import WARM_UP, CapturedStep


@pytest.fixture
def on_cpu(monkeypatch):
    """Streams that do nothing."""

    class Stream:
        def __init__(self, device=None):
            pass

        def wait_stream(self, other):
            pass

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", contextlib.nullcontext)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: None)


def graph(*_, **__):
    return contextlib.nullcontext()


def batches(count: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return list(torch.rand(count, 2, 3).unbind())


def loss_of(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (x * y).sum()


def test_a_graph_is_given_each_batch_and_its_losses_are_kept(on_cpu, monkeypatch):
    monkeypatch.setattr(torch.cuda, "graph", graph)
    started = []

    def step(x, y):
        started.append(0)
        return loss_of(x, y)

    captured = CapturedStep(step)

    class Graph:
        def replay(self):
            captured.loss.copy_(loss_of(*captured.inputs))

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    given = batches(WARM_UP + 4)
    losses = [captured(*batch) for batch in given]
    assert losses == [loss_of(*batch) for batch in given]
    assert len(started) == WARM_UP + 1  # the last of them was recorded


def test_what_cannot_be_recorded_goes_on_with_one_warning(on_cpu, monkeypatch, capsys):
    def refuse(*_, **__):
        raise RuntimeError("not permitted while a stream is captured\nmore of it")

    monkeypatch.setattr(torch.cuda, "graph", refuse)
    captured, given = CapturedStep(loss_of), batches(WARM_UP + 4)
    assert [captured(*batch) for batch in given] == [loss_of(*batch) for batch in given]
    warning = "warning: steps are launched one by one (not permitted while a stream is captured)\n"
    assert capsys.readouterr().err == warning
