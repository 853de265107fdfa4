"""From paths of shapes of any size to skeletons of their sizes."""

import numpy as np
import pytest

from canet.core import console
from canet.core.images import write_png
from canet.core.recipe_files import load
from canet.geometry.candidates import plain_skeleton
from canet.geometry.masks import any_mask
from canet.geometry.metrics import component_count
from canet.inference.distributed import ALONE
from canet.submission.predictor import Predictor


@pytest.fixture
def seen() -> dict[str, tuple[int, int]]:
    return {}


@pytest.fixture
def predictor(seen):
    """Draws compact skeletons and notes the sizes that it is asked for."""

    def predict(shapes):
        seen.update({name: shape.shape for name, shape in shapes.items()})
        return {name: plain_skeleton(shape) for name, shape in shapes.items()}

    return Predictor(load("geometry"), {}, "", predict, ALONE)


def test_larger_shapes_are_skeletonized_small_and_drawn_at_their_own_size(
    predictor, seen, tmp_path
):
    sizes, paths = {"small.png": (40, 64), "wide.png": (100, 260), "tall.png": (300, 128)}, []
    for name, (height, width) in sizes.items():
        shape = np.zeros((height, width), np.uint8)
        shape[height // 4 : -height // 4, width // 8 : -width // 8] = 255
        paths.append(tmp_path / name)
        write_png(paths[-1], shape)
    found = predictor.predict_files(paths, 64)
    assert seen == {"small.png": (40, 64), "wide.png": (25, 64), "tall.png": (64, 27)}
    assert {name: s.shape for name, s in found.items()} == sizes
    assert all(s.dtype == bool and component_count(s) == 1 for s in found.values())
    predictor.predict_files(paths, 0)
    assert seen == sizes  # 0: every shape at its own


def test_black_on_white_is_warned_of_and_drawn(predictor, tmp_path, capsys, monkeypatch):
    shape = np.full((40, 40), 255, np.uint8)
    shape[10:30, 10:30] = 0
    write_png(tmp_path / "negative.png", shape)
    write_png(tmp_path / "right.png", 255 - shape)
    paths = [tmp_path / "negative.png", tmp_path / "right.png"]
    found = predictor.predict_files(paths, 0)
    said = capsys.readouterr().out
    assert "warning: negative.png looks black on white" in said and "right.png" not in said
    assert (found["negative.png"] <= any_mask(shape)).all()
    monkeypatch.setattr(console, "IS_FIRST", False)  # whose stdout leads nowhere
    predictor.predict_files(paths, 0)
    assert "negative.png looks black on white" in capsys.readouterr().err
