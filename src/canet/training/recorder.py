"""What a training writes while it runs: TensorBoard, `metrics.csv`, checkpoints."""

import signal
import threading
import time
from pathlib import Path

import pandas as pd
from torch.utils.tensorboard import SummaryWriter

from canet.core.console import Stopped
from canet.core.files import write_with
from canet.inference.distributed import World
from canet.training.checkpoint import TrainState
from canet.training.trainer import Callback

CHECKPOINT = "checkpoint.pt"
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
HANG_UP = getattr(signal, "SIGHUP", None)  # of a terminal that is closed; nohup ignores it
SAME_REQUEST_S = 1.0  # a terminal and torchrun both pass on one Ctrl-C


class Recorder(Callback):
    """Records a training in its folder, also when SIGTERM, Ctrl-C or SIGHUP asks to stop.

    Of several processes the first writes; all stop after the same step.

    Args:
        folder: of the training.
        fingerprint: of the training, kept in its checkpoints.
        every_s: seconds between checkpoints.
        first_epoch: epochs that are completed already.
        world: the processes at this training.
        again: what continues it after a stop.
    """

    def __init__(
        self,
        folder: Path,
        fingerprint: str,
        *,
        every_s: float,
        first_epoch: int,
        world: World,
        again: str = "the same command",
    ):
        self.folder, self.fingerprint = folder, fingerprint
        self.every_s, self.world, self.again = every_s, world, again
        self.asked_at: float | None = None
        self.saved_at, self.save_s = time.monotonic(), 0.0
        if world.is_first:
            self.board = SummaryWriter(folder / "tensorboard", purge_step=first_epoch + 1)

    def __enter__(self) -> "Recorder":
        self.catches = threading.current_thread() is threading.main_thread()
        if self.catches:
            heard = HANG_UP and signal.getsignal(HANG_UP) is not signal.SIG_IGN
            signals = (*STOP_SIGNALS, HANG_UP) if heard else STOP_SIGNALS
            self.previous = {s: signal.signal(s, self._note) for s in signals}
        return self

    def _note(self, *_: object) -> None:
        now = time.monotonic()
        if self.asked_at and now - self.asked_at > SAME_REQUEST_S:
            raise KeyboardInterrupt  # asked twice: at once, from the last checkpoint on
        self.asked_at = self.asked_at or now

    def __exit__(self, *_: object) -> None:
        if self.world.is_first:
            self.board.close()
        if self.catches:
            for number, handler in self.previous.items():
                signal.signal(number, handler)

    def save(self, state: TrainState) -> None:
        """Write a checkpoint now."""
        if not self.world.is_first:
            return
        began = time.monotonic()
        state.save(self.folder / CHECKPOINT, self.fingerprint)
        self.saved_at = time.monotonic()
        self.save_s = self.saved_at - began

    def on_step_end(self, state: TrainState) -> None:
        """Save where it is time to, and end where that was asked for.

        Raises:
            Stopped: it was, and everything is saved.
        """
        if self._is_asked_to_stop():
            self.save(state)
            raise Stopped(
                f"asked to stop: saved in epoch {state.epoch + 1}, "
                f"{self.again} continues from there"
            )
        # a large model on a slow disk spends at most a twentieth of its time on saving
        if time.monotonic() - self.saved_at >= max(self.every_s, 20 * self.save_s):
            self.save(state)

    def on_training_end(self, state: TrainState) -> None:
        """Save, and end where that was asked for during the last evaluation.

        Raises:
            Stopped: it was, and everything is saved.
        """
        self.save(state)
        if self._is_asked_to_stop():
            raise Stopped(f"asked to stop: saved after the last epoch, {self.again} finishes")

    def _is_asked_to_stop(self) -> bool:
        return self.world.any(self.asked_at is not None)

    def on_epoch_end(self, state: TrainState) -> None:
        """Write the epoch's figures."""
        if not self.world.is_first:
            return
        row = state.history[-1]
        for name in {"loss", "lr", "f1", "threshold"} & row.keys():
            self.board.add_scalar(name, row[name], state.epoch)
        table = pd.DataFrame(state.history)
        write_with(self.folder / "metrics.csv", lambda t: table.to_csv(t, index=False))
