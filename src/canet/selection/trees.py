"""A fitted forest as plain arrays: stored, checked and followed without scikit-learn.

scikit-learn and a reader of its objects take seconds to import, which predicting three shapes need
not; arrays without pickled objects cannot run code.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from canet.core.console import UserError, printable, shown
from canet.core.files import write_with

if TYPE_CHECKING:
    from sklearn.ensemble import ExtraTreesClassifier

NONE = -1  # child of a leaf


@dataclass(frozen=True)
class Trees:
    """Decision trees whose nodes follow each other, children after their parent.

    Attributes:
        classes: (K,) int64, what the columns of `value` stand for.
        roots: (T,) int64, each tree's first node.
        left: (M,) int64, where to go if the feature is at most the threshold; −1 in a leaf.
        right: (M,) int64, where to go else; −1 in a leaf.
        feature: (M,) int64, column of the features.
        threshold: (M,) float64.
        value: (M, K) float64, share of each class among the examples that came here.
    """

    classes: np.ndarray
    roots: np.ndarray
    left: np.ndarray
    right: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    value: np.ndarray

    @classmethod
    def of(cls, forest: ExtraTreesClassifier) -> Trees:
        """The trees of a fitted forest."""
        trees = [estimator.tree_ for estimator in forest.estimators_]
        roots = np.cumsum([0] + [tree.node_count for tree in trees])[:-1]

        def moved(children: np.ndarray, root: int) -> np.ndarray:
            return np.where(children < 0, NONE, children + root)

        return cls(
            np.asarray(forest.classes_, np.int64),
            roots,
            np.concatenate([moved(t.children_left, r) for t, r in zip(trees, roots)]),
            np.concatenate([moved(t.children_right, r) for t, r in zip(trees, roots)]),
            np.concatenate([t.feature for t in trees]),
            np.concatenate([t.threshold for t in trees]),
            np.concatenate([t.value[:, 0] for t in trees]),
        )

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """(N, F) float → (N, K), the mean over trees of the shares in the leaf that is reached."""
        features = np.asarray(features, np.float32)  # as trees are fitted
        rows = np.arange(len(features))[:, None]
        node = np.tile(self.roots, (len(features), 1))  # (N, T)
        while (inner := self.left[node] >= 0).any():
            goes_left = features[rows, self.feature[node]] <= self.threshold[node]
            child = np.where(goes_left, self.left[node], self.right[node])
            node = np.where(inner, child, node)
        return self.value[node].mean(1)

    def save(self, path: Path) -> None:
        """Write the arrays as a compressed .npz, in one piece; equal trees give equal files."""

        def write(temporary: Path) -> None:
            with open(temporary, "wb") as file:
                np.savez_compressed(file, **vars(self))

        write_with(path, write)

    @classmethod
    def load(cls, path: Path, *, classes: int, features: int) -> Trees:
        """Read and check what `save` wrote; nothing in the file is ever run.

        Args:
            path: of the file.
            classes: how many there may be.
            features: how many columns it may look at.

        Raises:
            UserError: the file is damaged, or is no forest for these classes and features.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                trees = cls(**{name: arrays[name] for name in cls.__dataclass_fields__})
        except MemoryError:
            raise
        except Exception as error:  # whatever the bytes provoke: zip, zlib, NumPy's own header
            said = printable(type(error).__name__)
            raise UserError(f"{shown(path)}: damaged ({said}); train it again") from None
        if not trees._is_sound(classes, features):
            raise UserError(f"{shown(path)}: no forest for these features; train it again")
        return trees

    def _is_sound(self, classes: int, features: int) -> bool:
        """Whether every way from a root ends in a leaf that tells shares of known classes."""
        if not self._are_arrays_of_nodes():
            return False
        count, index = len(self.left), np.arange(len(self.left))
        inner = self.left != NONE
        children = np.stack([self.left[inner], self.right[inner]])
        return bool(
            (children > index[inner]).all()
            and (children < count).all()
            and ((self.roots >= 0) & (self.roots < count)).all()
            and ((self.feature[inner] >= 0) & (self.feature[inner] < features)).all()
            and np.isfinite(self.threshold[inner]).all()
            and np.isin(self.classes, range(classes)).all()
            and len(np.unique(self.classes)) == len(self.classes)
            and (self.value >= 0).all()
            and np.allclose(self.value.sum(1), 1)
        )

    def _are_arrays_of_nodes(self) -> bool:
        """Whether all are arrays of their type, with one entry for each node; there is a tree."""
        integers = (self.classes, self.roots, self.left, self.right, self.feature)
        floats = (self.threshold, self.value)
        if not all(isinstance(a, np.ndarray) for a in integers + floats):
            return False  # a member of the file that is no array is read as bytes
        count, kinds = self.left.size, len(self.classes) if self.classes.ndim else 0
        return bool(
            all(a.dtype == np.int64 and a.ndim == 1 for a in integers)
            and all(a.dtype == np.float64 for a in floats)
            and all(a.shape == (count,) for a in (self.right, self.feature, self.threshold))
            and self.value.shape == (count, kinds)
            and len(self.roots) > 0 < count
        )
