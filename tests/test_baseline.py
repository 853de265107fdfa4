"""Skeletons that nothing learns: every method on small shapes, and the script's own switches."""

import subprocess
import sys

import numpy as np
import pytest

import baseline
from canet.classical import METHODS
from canet.files import REPOSITORY, UserError, read_grey, write_png
from canet.geometry import compact_skeleton, label_mask
from canet.metrics import component_count


@pytest.fixture
def shapes(tmp_path):
    """A folder with one shape of two pieces with serrated edges."""
    shape = np.zeros((64, 96), np.uint8)
    shape[8:56, 5:60] = shape[20:40, 70:90] = 255
    shape[8:11, 5:60:4] = 0
    write_png(tmp_path / "shapes" / "pair-1.png", shape)
    return tmp_path / "shapes"


def made(monkeypatch, shapes, *words: str) -> np.ndarray:
    out = shapes.parent / "out"
    given = ["baseline", *words, "--images", str(shapes), "--out", str(out)]
    monkeypatch.setattr(sys, "argv", given)
    baseline.main()
    return read_grey(out / "pair-1.png") > 0


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("side", [1, 2, 5, 20])
def test_no_method_is_empty_where_the_shape_is_not(method, side):
    shape = np.zeros((40, 40), np.uint8)
    shape[10 : 10 + side, 8 : 8 + side] = 255
    skeleton = METHODS[method](shape)
    assert skeleton.dtype == bool and skeleton.any() and not (skeleton & (shape == 0)).any()
    assert not METHODS[method](np.zeros_like(shape)).any()


def test_compact_has_a_tolerance_and_covers_every_piece(shapes, monkeypatch):
    mask = label_mask(read_grey(shapes / "pair-1.png"))
    plain = made(monkeypatch, shapes, "compact")
    assert (plain == compact_skeleton(mask, 2.0).draw(mask.shape)).all()
    fine = made(monkeypatch, shapes, "compact", "--tolerance", "0")
    assert component_count(plain) == component_count(fine) == 1 and fine.sum() > plain.sum()
    both = made(monkeypatch, shapes, "compact", "--every-piece")
    assert component_count(both) == 2 and (both[:, :65] == plain[:, :65]).all()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lee", "--tolerance", "2"], "are for compact; lee has none"),
        (["lee", "--every-piece"], "are for compact; lee has none"),
        (["compact", "--tolerance", "-1"], "expected 0 or more"),
        (["compact", "--tolerance", "nan"], "expected 0 or more"),
    ],
)
def test_what_a_method_has_not_is_refused(shapes, monkeypatch, words, message):
    with pytest.raises(UserError, match=message):
        made(monkeypatch, shapes, *words)


def test_methods_without_a_network_start_without_torch():
    """It takes seconds to import."""
    program = f"import sys; sys.path.insert(0, {str(REPOSITORY / 'src')!r}); import baseline; "
    program += "assert not {'torch', 'timm', 'optuna'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
