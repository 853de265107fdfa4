from dataclasses import dataclass

import numpy as np
import pytest
from blobs import blob

from canet.geometry.candidates import ShapeGeometry
from canet.geometry.metrics import f1_score
from canet.selection.forest import Features, describe


@dataclass(frozen=True)
class Labelled:
    """Shapes by file name, their features, F1 (N, C) of each candidate."""

    shapes: dict[str, np.ndarray]
    features: list[Features]
    f1: np.ndarray


@pytest.fixture(scope="session")
def labelled() -> Labelled:
    """Smooth shapes labelled at the smallest tolerance, ragged ones at the largest."""
    shapes = {f"{'ragged' if i % 2 else 'smooth'}-{i}.png": blob(i, i % 2 == 1) for i in range(40)}
    geometries = [ShapeGeometry(shape) for shape in shapes.values()]
    f1 = []
    for name, geometry in zip(shapes, geometries):
        label = geometry.drawings[2 if name.startswith("ragged") else 0]
        f1.append([f1_score(drawing, label) for drawing in geometry.drawings])
    return Labelled(shapes, describe(geometries), np.array(f1))
