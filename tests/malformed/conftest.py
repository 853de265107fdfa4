"""A stored forest and a folder of one shape, to use or to break."""

from pathlib import Path

import numpy as np
import pytest
from broken_files import good_pngs, write

from canet.core.recipe import Selection
from canet.core.recipe_files import load
from canet.data.data_set import ImageFolder
from canet.geometry.candidates import CANDIDATES, ShapeGeometry
from canet.selection import forest


@pytest.fixture(scope="session")
def forest_once(data_root, tmp_path_factory) -> Path:
    """A forest of five trees that has learned nothing."""
    folder = tmp_path_factory.mktemp("forest") / "geometry"
    shapes = ImageFolder(data_root / "img_train_shape").read_all()
    features = forest.describe([ShapeGeometry(shape) for shape in shapes])
    f1 = np.random.default_rng(0).random((len(shapes), len(CANDIDATES)))
    facts = {"settings": {}, "f1_cross_fitted": 0.5, "commit": "", "finished_at": ""}
    selector = forest.fit(features, f1, Selection(trees=5))
    forest.save(selector, folder, facts | {"recipe": load("geometry").stored()})
    return folder


@pytest.fixture
def shapes(tmp_path) -> Path:
    """A folder with one shape."""
    write(tmp_path / "shapes" / "x.png", good_pngs()["grey"])
    return tmp_path / "shapes"
