"""Training steps recorded once as a CUDA graph and launched as one.

A step of a network starts about a thousand kernels. On a GPU those of a narrow network are done
before Python has started the next ones (docs/experiments/speed.md); a graph starts all of them at
once. Nothing is computed differently: the graph repeats the same kernels in the same places.
"""

import sys
import warnings
from collections.abc import Callable

import torch

Step = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

WARM_UP = 3  # steps without a graph, which let libraries choose their kernels and the moments begin


class CapturedStep:
    """A step (input, label) → loss as a CUDA graph; where it cannot be one, as it is.

    What the step reads and writes stays in its place: the weights, their gradients, what the
    optimizer keeps, its learning rate. All batches are of one size.

    Args:
        step: forward, backward and optimizer; returns the loss, a scalar on the device.
    """

    def __init__(self, step: Step):
        self.step, self.done = step, 0
        self.stream: torch.cuda.Stream | None = None
        self.graph: torch.cuda.CUDAGraph | None = None
        self.inputs: tuple[torch.Tensor, torch.Tensor] | None = None
        self.loss: torch.Tensor | None = None

    def __call__(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """One step; x and y are on the device. Returns the loss before it."""
        self.done += 1
        if self.done <= WARM_UP:
            return self._on_side_stream(x, y)
        if self.done == WARM_UP + 1:
            self._capture(x, y)
        if self.graph is None:
            return self.step(x, y)
        for own, given in zip(self.inputs, (x, y)):
            own.copy_(given, non_blocking=True)
        self.graph.replay()
        return self.loss.clone()  # the next step writes its own to the same place

    def _on_side_stream(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Gradients are accumulated on the stream of their first use, not on the default one."""
        side = self.stream = self.stream or torch.cuda.Stream(x.device)
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            loss = self.step(x, y)
        torch.cuda.current_stream().wait_stream(side)
        return loss

    def _capture(self, x: torch.Tensor, y: torch.Tensor) -> None:
        self.inputs = x.clone(), y.clone()
        graph = torch.cuda.CUDAGraph()
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("error", "The CUDA Graph is empty")
                # thread_local: loaders pin their batches in another thread meanwhile
                with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
                    self.loss = self.step(*self.inputs)
        except (RuntimeError, UserWarning) as error:  # out of memory, too: it may do without
            # ending a broken capture raises an error of its own, which hides what broke it
            reason = str(error.__context__ or error).partition("\n")[0]
            print(f"warning: steps are launched one by one ({reason})", file=sys.stderr)
            self.inputs = self.loss = None
            return
        self.graph = graph
