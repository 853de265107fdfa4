"""Everything that training changes, and the file that keeps it."""

import warnings
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from canet.core.console import UserError, shown
from canet.core.files import write_with
from canet.core.gpus import is_out_of_memory
from canet.network.earlier.adversary import Adversary
from canet.training.moving_average import MovingAverage
from canet.training.optimizer import load_optimizer
from canet.training.origin import ORIGIN

# what a checkpoint tells of the progress, in the types that it was saved with
PROGRESS = {"epoch": int, "step": int, "losses": list, "elapsed_s": float, "history": list}


@dataclass
class TrainState:
    """Everything that training changes."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    ema: MovingAverage | None
    adversary: Adversary | None = None
    epoch: int = 0  # epochs completed
    step: int = 0  # steps done in the epoch under way
    losses: list[torch.Tensor] = field(default_factory=list)  # of those steps
    elapsed_s: float = 0.0  # on those steps
    history: list[dict] = field(default_factory=list)
    origins: list[dict] = field(default_factory=list)  # of the processes that have trained it

    @property
    def eval_model(self) -> nn.Module:
        """The weights that are evaluated and saved: the moving average where there is one."""
        return self.ema.module if self.ema else self.model

    def save(self, path: Path, fingerprint: str) -> None:
        """Write a checkpoint in one piece."""
        content = {
            "identity": fingerprint,
            "epoch": self.epoch,
            "step": self.step,
            "losses": self.losses,
            "elapsed_s": self.elapsed_s,
            "history": self.history,
            "origins": self.origins,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "ema": self.ema.module.state_dict() if self.ema else None,
            "adversary": self.adversary.state_dict() if self.adversary else None,
        }

        def write(temporary: Path) -> None:
            with open(temporary, "wb") as file:  # whose errors tell of a full disk, torch's do not
                torch.save(content, file)

        write_with(path, write)

    def restore(self, path: Path, fingerprint: str, device: torch.device) -> bool:
        """Continue from a checkpoint; False where there is none of this experiment.

        Raises:
            UserError: the file is damaged, or holds something else; nothing in it is ever run.
        """
        if not path.is_file():
            return False
        try:
            with zipfile.ZipFile(path) as archive:  # torch's reader looks at no checksum
                if damaged := archive.testzip():
                    raise zipfile.BadZipFile(damaged)
            with warnings.catch_warnings(action="ignore"):  # the error says it in one line
                content = dict(torch.load(path, map_location=device, weights_only=True))
            if content["identity"] != fingerprint:
                return False
            self._load_weights(content)
            for name, kind in PROGRESS.items():
                if not isinstance(content[name], kind):
                    raise TypeError(name)
                setattr(self, name, content[name])
            self.origins = content.get("origins", [])  # checkpoints of before tell nothing
            if not all(
                isinstance(o[key], kind) for o in self.origins for key, kind in ORIGIN.items()
            ):
                raise TypeError("origins")
        except Exception as error:  # torch raises whatever the bytes provoke
            if is_out_of_memory(error):
                raise
            raise UserError(
                f"{shown(path)}: damaged checkpoint ({type(error).__name__}); "
                f"delete it, or start over with --force"
            ) from None
        return True

    def _load_weights(self, content: dict) -> None:
        self.model.load_state_dict(content["model"])
        load_optimizer(self.optimizer, content["optimizer"])
        if self.ema:
            self.ema.module.load_state_dict(content["ema"])
        if self.adversary:
            self.adversary.load_state_dict(content["adversary"])
