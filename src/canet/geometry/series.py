"""What the labelled images of a series have, for the next image of that series.

Labels were made series by series, and files are named `<class>-<number>.png`: images of a class
with numbers near each other mostly have the same candidate. That holds for this benchmark, whose
unlabelled images lie between the same numbers, and tells nothing of anybody else's shapes.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from canet.dataset import class_of
from canet.geometry.candidates import CANDIDATES

REACHES = (1.0, 3.0, math.inf)  # numbers further on, a vote counts 1/e; the last counts the class
SERIES = "series "  # begins the names of the columns


def number_of(name: str) -> int:
    """12 for `dog-12.png`; 0 where there is none."""
    found = re.search(r"-(\d{1,9})$", Path(name).stem)
    return int(found.group(1)) if found else 0


@dataclass(frozen=True)
class Series:
    """Labelled images and the position of each one's candidate in CANDIDATES."""

    names: list[str]
    candidates: list[int]

    def votes(self, names: Sequence[str]) -> pd.DataFrame:
        """How many labelled images of the same class have each candidate, near ones counting more.

        No image votes for itself, so the votes of labelled images can be learned from.

        Returns:
            one row a name; a column for each reach and candidate, 0 or greater.
        """
        same_class = _table(class_of, names)[:, None] == _table(class_of, self.names)
        another = _table(str, names)[:, None] != _table(str, self.names)
        apart = np.abs(_table(number_of, names)[:, None] - _table(number_of, self.names))
        each = np.eye(len(CANDIDATES))[np.asarray(self.candidates, int)]  # (M, candidates)
        found = {}
        for reach in REACHES:
            votes = (same_class & another) * np.exp(-apart / reach) @ each
            for candidate, column in zip(CANDIDATES, votes.T):
                found[f"{SERIES}{reach:g} {candidate.name}"] = column
        return pd.DataFrame(found)


def _table(of, names: Sequence[str]) -> np.ndarray:
    return np.array([of(name) for name in names])
