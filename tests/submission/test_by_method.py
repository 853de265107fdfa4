"""A folder of shapes drawn by a method that learns nothing, and the script's own switches."""

import sys

import numpy as np
import pandas as pd
import pytest

import baseline
from canet.core.console import UserError
from canet.core.images import read_grey, write_png
from canet.geometry import compact_skeleton, label_mask
from canet.geometry.classical import METHODS
from canet.geometry.metrics import component_count


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


def test_compact_has_a_tolerance_and_covers_every_piece(shapes, monkeypatch):
    mask = label_mask(read_grey(shapes / "pair-1.png"))
    plain = made(monkeypatch, shapes, "compact")
    assert (plain == compact_skeleton(mask, 2.0).draw(mask.shape)).all()
    fine = made(monkeypatch, shapes, "compact", "--tolerance", "0")
    assert component_count(plain) == component_count(fine) == 2 and fine.sum() > plain.sum()


def test_all_is_drawn_again_by_force(shapes, monkeypatch, capsys):
    made(monkeypatch, shapes, "lee")
    written = (shapes.parent / "out" / "pair-1.png").stat().st_mtime_ns
    made(monkeypatch, shapes, "lee")
    assert "skipped (--force does it again)" in capsys.readouterr().out
    assert (shapes.parent / "out" / "pair-1.png").stat().st_mtime_ns == written
    made(monkeypatch, shapes, "lee", "--force")
    assert (shapes.parent / "out" / "pair-1.png").stat().st_mtime_ns > written


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lee", "--tolerance", "2"], "is for compact; lee has none"),
        (["lee", "--recipe", "nothing"], "--recipe, --set and --fold are for all; lee has none"),
        (["compact", "--fold", "0"], "--fold are for all; compact has none"),
        (["compact", "--set", "folds.count=2"], "--set and --fold are for all"),
        (["all"], "leave --images out"),
        (["compact", "--tolerance", "-1"], "expected 0 or more"),
        (["compact", "--tolerance", "nan"], "expected 0 or more"),
    ],
)
def test_what_a_method_has_not_is_refused(shapes, monkeypatch, words, message):
    with pytest.raises(UserError, match=message):
        made(monkeypatch, shapes, *words)


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
    monkeypatch.setattr(sys, "argv", ["baseline", "--force", *words])
    baseline.main()
    assert kept.stat().st_mtime_ns > before
