"""Skeletons that nothing learns: every method on small shapes, and the script's own switches."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import baseline
from canet.classical import METHODS, distance_ridge, lu_wang, morphological_skeleton
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
        (["all"], "leave --images out"),
        (["compact", "--tolerance", "-1"], "expected 0 or more"),
        (["compact", "--tolerance", "nan"], "expected 0 or more"),
    ],
)
def test_what_a_method_has_not_is_refused(shapes, monkeypatch, words, message):
    with pytest.raises(UserError, match=message):
        made(monkeypatch, shapes, *words)


def thinned_slowly(mask: np.ndarray) -> np.ndarray:
    """Lü and Wang's conditions pixel by pixel, as they are written."""
    now = np.pad(mask, 1).astype(int)
    while True:
        removed = 0
        for half in (0, 1):
            gone = []
            for i, j in np.argwhere(now):
                north, east, south, west = (-1, 0), (0, 1), (1, 0), (0, -1)
                ring = [north, (-1, 1), east, (1, 1), south, (1, -1), west, (-1, -1)]
                p = [now[i + di, j + dj] for di, dj in ring]
                rises = sum(a == 0 and b == 1 for a, b in zip(p, p[1:] + p[:1]))
                n, e, s, w = p[::2]
                open_sides = (n * e * s, e * s * w) if half == 0 else (n * e * w, n * s * w)
                if 3 <= sum(p) <= 6 and rises == 1 and not any(open_sides):
                    gone.append((i, j))
            for i, j in gone:
                now[i, j] = 0
            removed += len(gone)
        if not removed:
            return now[1:-1, 1:-1] > 0


def test_lu_wang_is_what_it_says():
    rng = np.random.default_rng(0)
    for density in (0.5, 0.7, 0.9):
        for _ in range(5):
            mask = rng.random((17, 19)) < density
            assert np.array_equal(lu_wang(mask), thinned_slowly(mask))
    slanted = np.eye(20, dtype=bool) | np.eye(20, k=1, dtype=bool)
    assert lu_wang(slanted).any(0).sum() >= 19  # where Zhang and Suen's own conditions leave less


def test_ridge_and_morphology_of_a_bar():
    bar = np.zeros((21, 60), bool)
    bar[6:15, 5:55] = True  # nine pixels high: one line in the middle
    for method in (distance_ridge, morphological_skeleton):
        skeleton = method(bar)
        assert (skeleton[:, 15:45].sum(0) == 1).all() and skeleton[10, 15:45].all()


def test_all_methods_are_scored_on_a_fold(tiny, tiny_folds, overrides, tmp_path, monkeypatch):
    out = tmp_path / "scores.csv"
    words = ["all", "--recipe", "demo", "--fold", "1", "--out", str(out), "--set", *overrides]
    monkeypatch.setattr(sys, "argv", ["baseline", *words])
    baseline.main()
    table = pd.read_csv(out).set_index("method")
    assert list(table.index) == list(METHODS)
    assert table.loc["compact", "f1"] > 0.98 > 0.8 > table.loc["zhang_suen", "f1"] > 0.1
    assert (table["ms_per_image"] > 0).all() and (table["f1_within_1px"] >= table["f1"]).all()
    kept = tiny.run_folder / "classical_fold-1.csv"
    before = kept.stat().st_mtime_ns
    baseline.main()
    assert kept.stat().st_mtime_ns == before


def test_methods_without_a_network_start_without_torch():
    """It takes seconds to import."""
    program = f"import sys; sys.path.insert(0, {str(REPOSITORY / 'src')!r}); import baseline; "
    program += "assert not {'torch', 'timm', 'optuna'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
