"""What is said to the user: errors of one line, paths in messages, progress."""

import os
import reprlib
import sys
from collections.abc import Iterable
from pathlib import Path

from tqdm import tqdm

REPOSITORY = Path(__file__).resolve().parents[3]
RANK = int(os.environ.get("RANK", 0))  # of this process among those that torchrun started
IS_FIRST = RANK == 0
IS_ALONE = int(os.environ.get("WORLD_SIZE", 1)) == 1
LONGEST_SHOWN = 300  # characters of a path or a value in a message
_BRIEF = reprlib.Repr()
_BRIEF.maxstring, _BRIEF.maxother, _BRIEF.maxlevel = 80, 80, 3


class UserError(Exception):
    """Something a user can mend; scripts print it as one line and exit with 1."""


class Stopped(UserError):
    """Asked to stop, and everything is saved."""


def shown(path: Path) -> str:
    """`path` relative to the current folder where that is shorter, for messages."""
    path = Path(path).absolute()
    return printable(os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path))


def printable(text: str) -> str:
    """`text` for messages: on one line, what cannot be printed escaped, the middle left out."""
    if len(text) > LONGEST_SHOWN:
        text = f"{text[: LONGEST_SHOWN // 2]} … {text[-LONGEST_SHOWN // 2 :]}"
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def brief(value: object) -> str:
    """`value` as Python writes it, for messages: shortened before it becomes long."""
    return printable(_BRIEF.repr(value))


def announce(stage: str, reads: Iterable[Path], writes: Iterable[Path]) -> None:
    """Say what a stage reads and writes."""
    print(f"== {stage}")
    print(f"   reads  {', '.join(shown(p) for p in reads) or 'nothing'}")
    print(f"   writes {', '.join(shown(p) for p in writes) or 'nothing'}", flush=True)


def warn(words: str) -> None:
    """Print a warning; all processes' are seen, though the first one speaks for the others."""
    print(f"   warning: {words}", file=sys.stdout if IS_FIRST else sys.stderr, flush=True)


def progress(iterable: Iterable | None = None, **options) -> tqdm:
    """A progress bar with remaining time; sparse where the output is no terminal."""
    interval = 0.3 if sys.stderr.isatty() else 10
    options = {"mininterval": interval, "maxinterval": interval, "dynamic_ncols": True} | options
    options["disable"] = options.get("disable", False) or not IS_FIRST
    return tqdm(iterable, **options)
