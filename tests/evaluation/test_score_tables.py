import numpy as np
import pandas as pd
import pytest

from canet.core.console import UserError
from canet.evaluation.score_tables import (
    check_alike,
    load_labels,
    read_table,
    score_predictions,
    summary_table,
    write_table,
)


def test_scoring_refuses_what_the_challenge_scores_zero():
    skeletons = {f"cat-{i}.png": np.eye(16, dtype=bool) for i in range(3)}
    scores = score_predictions(skeletons, skeletons)
    assert all(s.f1 == 1 for s in scores.values())
    some = dict(list(skeletons.items())[1:])
    with pytest.raises(UserError, match=r"predictions missing: 1 \(cat-0\.png\)"):
        score_predictions(some, skeletons)
    small = {n: s[:8] for n, s in skeletons.items()}
    with pytest.raises(UserError, match="would score 0"):
        score_predictions(small, skeletons)


def test_shapes_that_are_not_the_labels_are_named(tmp_path):
    labels = {f"cat-{i}.png": np.eye(16, dtype=bool) for i in range(3)}
    check_alike(tmp_path, dict(labels), labels)
    for changed, words in (
        ({"cat-1.png": np.eye(12)}, r"cat-1\.png is \(12, 12\) here, \(16, 16\) among"),
        ({"dog-1.png": np.eye(16)}, r"dog-1\.png is \(16, 16\) here, missing among the labels"),
    ):
        with pytest.raises(UserError, match=words):
            check_alike(tmp_path, labels | changed, labels)
    with pytest.raises(UserError, match=r"cat-0\.png is missing here"):
        check_alike(tmp_path, {}, labels)


def test_a_table_is_read_as_it_was_written(tmp_path):
    lines = {f"cat-{i}.png": np.eye(16, dtype=bool) for i in range(3)}
    half = {name: line & (np.arange(16) < 8) for name, line in lines.items()}
    rows = [("whole", score_predictions(lines, lines)), ("half", score_predictions(half, lines))]
    write_table(tmp_path / "table.csv", summary_table(rows))
    table = read_table(tmp_path / "table.csv", "f1")
    assert table["f1"].to_dict() == pytest.approx({"whole": 1, "half": 2 / 3}, abs=1e-6)
    with pytest.raises(UserError, match="damaged"):
        read_table(tmp_path / "table.csv", "no such column")


def test_a_damaged_table_is_one_line(tmp_path):
    pd.DataFrame({"method": ["a"], "f1": ["high"]}).to_csv(tmp_path / "table.csv", index=False)
    with pytest.raises(UserError, match=r"table\.csv: damaged; repeat the stage"):
        read_table(tmp_path / "table.csv", "f1")


def test_labels_are_read_by_name(data_root):
    labels = load_labels(data_root / "img_train2")
    assert len(labels) == 15 and all(label.any() for label in labels.values())
