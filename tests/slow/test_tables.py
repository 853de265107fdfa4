"""Tables from their files to their results, by `src/make_tables.py`."""

import os
import signal
import time

import numpy as np
import pandas as pd
import pytest
from scripts import Script, run_script
from small_tables import quick, write_tables
from tiny import write_data_set

from canet.core.files import read_json, write_text
from canet.training.side_by_side import last_line


@pytest.fixture
def folder(tmp_path):
    """The small tables, on one split."""
    folder = write_tables(tmp_path / "tables")
    write_text(folder / "budgets/gpu.yaml", "splits: [0]\n")
    return folder


def test_a_stop_saves_all_and_the_same_command_continues(folder, overrides, tiny_folds, tmp_path):
    words = [folder / "inputs.yaml", "--budget", "gpu", "--parallel", "2"]
    words += ["--results", tmp_path / "results", "--set", *quick(overrides), "train.epochs=40"]
    script = Script("make_tables", *words)
    runs = tmp_path / "runs"
    deadline = time.monotonic() + 200
    while len(list(runs.glob("*/fold-0/metrics.csv"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(script.process.pid, signal.SIGTERM)
    ended = script.wait(60)
    assert ended.code == 1 and "the same command continues" in ended.stderr
    logs = list(runs.glob("*/fold-0.log"))
    assert len(logs) == 2
    assert all("asked to stop: saved in epoch" in last_line(log) for log in logs)
    epochs = [len(pd.read_csv(path)) for path in runs.glob("*/fold-0/metrics.csv")]
    assert all(1 <= n < 40 for n in epochs)
    assert run_script("make_tables", *words).code == 0
    assert all("continues in epoch" in log.read_text() for log in logs)
    table = pd.read_csv(tmp_path / "results/inputs.csv")
    assert (table["splits"] == 1).all() and table["f1"].between(0, 1).all()
    assert (table["parameters"] > 1000).all()


def test_rows_end_in_tables_whatever_becomes_of_others(folder, overrides, tmp_path):
    path, results, generated = folder / "losses.yaml", tmp_path / "results", tmp_path / "generated"
    more = write_data_set(tmp_path / "more")
    added = f"  - {{name: Extra, set: {{data.extra: ['{more}']}}}}\n"
    made = f"speed: true\ngenerate: {{'{generated}': 2}}\n"
    write_text(path, path.read_text().partition("  - {name: Short")[0] + added + made)
    words = [path, "--budget", "gpu", "--results", results, "--set", *quick(overrides)]
    words += ["train.epochs=1"]
    done = run_script("make_tables", *words)
    assert done.code == 1 and "1 of 3 trainings failed" in done.stderr
    assert "losses: Diverging, fold 0: error: the loss became" in done.stdout
    table = pd.read_csv(results / "losses.csv").set_index("row")
    assert table["splits"].to_dict() == {"Usual": 1, "Diverging": 0, "Extra": 1}
    assert table["images_per_s"].notna().to_dict()["Usual"]
    assert table.loc["Usual", "budget"].endswith("train.precision=float32 train.epochs=1")
    fold = tmp_path / f"runs/{table.loc['Extra', 'run']}/fold-0"
    assert "levels_tta" not in np.load(fold / "held_out.npz")  # one view: eight take long
    names = read_json(fold / "model/training.json")
    more_names = [n for n in names["training_images"] if n.startswith("more/")]
    assert len(more_names) == 10  # of 15, copies of the data set: fold 0 holds five of them out
    assert len(list((generated / "img_train_shape").iterdir())) == 2
    before = (results / "losses.csv").read_bytes()
    again = run_script("make_tables", path, "--minutes", "0", *words[1:])
    assert "3 trainings, 2 of them finished" in again.stdout and again.code == 0
    assert "1 trainings are left" in again.stdout
    assert (results / "losses.csv").read_bytes() == before
