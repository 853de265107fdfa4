"""Two small tables with their budgets, for tests."""

from pathlib import Path

from canet.core.files import write_text

BUDGET = "splits: [0, 1, 2]\nset: {train.epochs: 9}\n"
INPUTS = """\
title: Inputs
source: a test
note: A note.
rows:
  - {name: Distance, paper: 0.8, set: {input.kind: distance}}
  - {name: Usual}
"""
LOSSES = """\
title: Losses
source: a test
compare: first
rows:
  - {name: Usual, set: {input.kind: repaired_distance, loss.gamma: 2}}
  - {name: Diverging, set: {train.lr: 1.0e+30, train.clip_norm: null}}
  - {name: Short, leave: [train.epochs], set: {loss.gamma: 1}}
"""


def write_tables(folder: Path) -> Path:
    """Budgets, and the tables `inputs` and `losses`, of which one row each trains the same."""
    write_text(folder / "budgets/gpu.yaml", BUDGET)
    write_text(folder / "budgets/other.yaml", BUDGET.replace("9", "3"))
    write_text(folder / "inputs.yaml", INPUTS)
    write_text(folder / "losses.yaml", LOSSES)
    return folder


def quick(overrides: list[str]) -> list[str]:
    """Of a tiny recipe's overrides those of a budget: a second or two a training."""
    return [o for o in overrides if not o.startswith(("name=", "train.epochs", "loss_search."))]
