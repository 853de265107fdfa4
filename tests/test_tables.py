import os
import signal
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scripts import Script, run_script

import make_tables
from canet import table_results, table_training, tables
from canet.dataset import ImageFolders, list_images
from canet.files import UserError, read_json, write_text
from canet.folds import assign_folds, folds_path, write_folds
from canet.table_training import TRAIN, SideBySide, last_line, places
from canet.tables import Training, plan_table, trainings_of


@pytest.fixture
def folder(tmp_path):
    """A budget, and two tables of which one row each trains the same."""
    budget = "splits: [0, 1, 2]\nset: {train.epochs: 9}\n"
    write_text(tmp_path / "tables/budgets/gpu.yaml", budget)
    write_text(tmp_path / "tables/budgets/other.yaml", budget.replace("9", "3"))
    inputs = """\
title: Inputs
source: a test
note: A note.
rows:
  - {name: Distance, paper: 0.8, set: {input.kind: distance}}
  - {name: Usual}
"""
    losses = """\
title: Losses
source: a test
compare: first
rows:
  - {name: Usual, set: {input.kind: repaired_distance, loss.gamma: 2}}
  - {name: Diverging, set: {train.lr: 1.0e+30, train.clip_norm: null}}
  - {name: Short, leave: [train.epochs], set: {loss.gamma: 1}}
"""
    write_text(tmp_path / "tables/inputs.yaml", inputs)
    write_text(tmp_path / "tables/losses.yaml", losses)
    return tmp_path / "tables"


@pytest.fixture
def quick(overrides):
    """Overrides of a budget for a second or two a training."""
    kept = [o for o in overrides if not o.startswith(("name=", "train.epochs", "loss_search."))]
    return [*kept, "model.attention_stages=[5]"]  # attention to many pixels is slow on a CPU


@pytest.mark.parametrize("budget", ["gpu", "cpu"])
@pytest.mark.parametrize("name", tables.available())
def test_the_tables_here_can_be_read_and_trained(name, budget):
    path = tables.path_of(name)
    assert len(tables.read_table(path).rows) >= 4
    plan = plan_table(path, [], budget)
    assert len(plan.splits) >= 3
    assert all(planned.recipe.train.epochs < 200 for planned in plan.rows)
    trained = [planned.recipe.name for planned in plan.rows if not planned.left_out]
    assert len(set(trained)) == len(trained)  # a budget may not make rows the same


def test_rows_go_before_the_budget_and_the_command_line_changes_the_budget(folder):
    def epochs(*overrides: str) -> dict[str, int]:
        plan = plan_table(folder / "losses.yaml", list(overrides))
        return {p.row.name: p.recipe.train.epochs for p in plan.rows}

    assert epochs() == {"Usual": 9, "Diverging": 9, "Short": 200}
    assert epochs("train.epochs=5") == {"Usual": 5, "Diverging": 5, "Short": 200}
    plan = plan_table(folder / "losses.yaml", ["train.lr=0.5"])
    assert [p.recipe.train.lr for p in plan.rows] == [0.5, 1e30, 0.5]
    assert plan.budget == "train.epochs=9 train.lr=0.5"
    other = plan_table(folder / "losses.yaml", [], "other")
    assert [p.recipe.train.epochs for p in other.rows] == [3, 3, 200]
    with pytest.raises(UserError, match=r"no budget .*none.yaml; there are gpu, other"):
        plan_table(folder / "losses.yaml", [], "none")


def test_what_trains_the_same_is_trained_once_and_first_splits_come_first(folder):
    plans = [plan_table(folder / f"{name}.yaml", []) for name in ("inputs", "losses")]
    found = trainings_of(plans)
    assert [t.fold for t in found] == [0] * 4 + [1] * 4 + [2] * 4
    assert [t.rows for t in found[:4]] == [
        ("inputs: Distance",),
        ("inputs: Usual", "losses: Usual"),
        ("losses: Diverging",),
        ("losses: Short",),
    ]
    other = plan_table(folder / "inputs.yaml", ["data.extra=[input/more]", "predict.batch=2"])
    unlike = plan_table(folder / "inputs.yaml", ["predict.batch=2"])
    assert other.rows[1].recipe.name != found[1].recipe.name == unlike.rows[1].recipe.name
    turned = plan_table(folder / "inputs.yaml", ["predict.tta=true"])  # judged from eight views
    assert turned.rows[1].recipe.name != found[1].recipe.name


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("paper", "papr", "did you mean rows.paper"),
        ("input.kind", "input.kinds", "Distance: recipe paper: unknown key input.kinds"),
        ("name: Usual", "name: Usual, recipe: nothing", "Usual: no recipe nothing"),
        ("name: Usual", "name: Usual, recipe: geometry", "trains no network"),
        ("name: Usual", "name: Distance", "two rows are named Distance"),
        ("paper: 0.8", "paper: 80", "paper is 80"),
    ],
)
def test_a_wrong_table_is_one_line(folder, old, new, message):
    path = folder / "inputs.yaml"
    write_text(path, path.read_text().replace(old, new))
    with pytest.raises(UserError, match=message):
        plan_table(path, [])


def test_an_unknown_table_names_those_that_exist():
    with pytest.raises(UserError, match=r"no table table9; there are .*table3"):
        tables.path_of("table9")


def test_means_spreads_and_paired_differences(folder, monkeypatch):
    f1 = {("Usual", 0): 0.70, ("Usual", 1): 0.74, ("Short", 1): 0.75, ("Short", 2): 0.5}
    plan = plan_table(folder / "losses.yaml", [])
    row = {planned.recipe.name: planned.row.name for planned in plan.rows}
    fixed = {"pooled_f1": 0.6, "one_component": 0.5, "parameters": 12345678, "training_s": 2.0}
    fixed |= {"device": "d"}

    def scores(self: Training) -> dict | None:
        found = f1.get((row[self.recipe.name], self.fold))
        return found and {"f1": found} | fixed | {"commit": f"c{self.fold}"}

    monkeypatch.setattr(Training, "scores", scores)
    written = table_results.write_results(plan, trainings_of([plan]), folder / "results")
    usual, diverging, short = written.to_dict("records")
    assert usual["f1"] == pytest.approx(0.72) and usual["splits"] == 2
    assert usual["f1_sd"] == pytest.approx(0.02 * 2**0.5)
    assert pd.isna(usual["change"]) and pd.isna(diverging["f1"]) and diverging["splits"] == 0
    assert short["change"] == pytest.approx(0.01) and pd.isna(short["change_sd"])  # split 1 alone
    assert "12345678" in (folder / "results" / "losses.csv").read_text()
    page = (folder / "results" / "tables.md").read_text()
    assert "| Usual | – | 0.7200 ± 0.0283 (2) | – | 0.6000 | 50% | 12.35 M | 2 s |" in page
    assert "| Diverging | – | – |" in page and "## Inputs" not in page
    assert "- commit: c0; c1; c2\n" in page  # each once, though two rows share c1


def test_a_row_that_the_budget_leaves_out_is_not_trained_and_says_why(folder, monkeypatch):
    path = folder / "budgets/gpu.yaml"
    write_text(path, path.read_text() + "leave_out: {losses: {Diverging: too long}}\n")
    plan = plan_table(folder / "losses.yaml", [])
    assert {row for t in trainings_of([plan]) for row in t.rows} == {
        "losses: Usual",
        "losses: Short",
    }
    fixed = {"pooled_f1": 0.6, "one_component": 0.5, "parameters": 12345678, "training_s": 2.0}
    fixed |= {"device": "d", "commit": "c"}
    monkeypatch.setattr(Training, "scores", lambda t: fixed | {"f1": t.recipe.loss.gamma / 10})
    above = replace(plan, table=plan.table.model_copy(update={"compare": "above"}))
    written = table_results.write_results(above, trainings_of([above]), folder / "results")
    usual, diverging, short = written.to_dict("records")
    assert pd.isna(diverging["f1"]) and pd.isna(diverging["change"])
    assert short["change"] == pytest.approx(short["f1"] - usual["f1"]) != 0
    page = (folder / "results" / "tables.md").read_text()
    assert "- Diverging: not trained, rows are compared without it; too long\n" in page


def test_a_budget_can_leave_a_table_out_and_names_what_exists(folder):
    path = folder / "budgets/gpu.yaml"
    whole = path.read_text()
    write_text(path, whole + "leave_out: {losses: too long}\n")
    plans = [plan_table(folder / f"{name}.yaml", []) for name in ("inputs", "losses")]
    assert {p.left_out for p in plans[1].rows} == {"too long"}
    assert {row.partition(":")[0] for t in trainings_of(plans) for row in t.rows} == {"inputs"}
    for unknown in ("{loses: too long}", "{losses: {Divergin: too long}}"):
        write_text(path, whole + f"leave_out: {unknown}\n")
        with pytest.raises(UserError, match=r"leave_out names (loses|losses: Divergin); no such"):
            plan_table(folder / "losses.yaml", [])


def test_the_budget_is_that_of_the_device(monkeypatch):
    def pick(name: str) -> SimpleNamespace:
        return SimpleNamespace(type="cpu" if name == "cpu" else "cuda")

    monkeypatch.setattr(make_tables, "pick_device", pick)
    assert make_tables.default_budget(["train.epochs=3"]) == "gpu"
    assert make_tables.default_budget(["train.epochs=3", "machine.device=cpu"]) == "cpu"


def write_tiny_folds(plan) -> None:
    made = plan.rows[0].recipe
    paths = list_images(ImageFolders(made.data_root, made.data).train_shapes)
    write_folds(folds_path(made), assign_folds(paths, made.folds))


def test_what_time_cuts_is_saved_and_continued(folder, quick, monkeypatch):
    plan = plan_table(folder / "inputs.yaml", [*quick, "train.epochs=30"])
    write_tiny_folds(plan)
    first, second, *_ = trainings_of([plan])
    under_way = first.folder / "metrics.csv"
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + 1e9 * under_way.exists())
    monkeypatch.setattr(table_training, "time", clock)
    monkeypatch.setattr(table_training, "POLL_S", 0.05)
    outcome = SideBySide(TRAIN, ["cpu"], lambda t: None).run([first, second], time.monotonic() + 60)
    assert outcome.left == [first, second] and not outcome.failed
    assert "asked to stop: saved in epoch" in last_line(first.log)
    assert 1 <= table_training.epochs_done(first) < 30 and not second.folder.exists()
    monkeypatch.undo()
    ended = []
    short = [Training(t.recipe, t.fold, t.rows) for t in (first,)]
    assert not SideBySide(TRAIN, ["cpu"], ended.append).run(short).failed
    assert ended == short and "continues in epoch" in first.log.read_text()
    assert first.scores()["parameters"] > 1000 and 0 <= first.scores()["f1"] <= 1


def test_a_stop_ends_every_training(folder, quick, data_root, tmp_path):
    words = [folder / "inputs.yaml", "--budget", "gpu", "--parallel", "2"]
    words += ["--results", tmp_path / "results"]
    script = Script("make_tables", *words, "--set", *quick, "train.epochs=500")
    runs = tmp_path / "runs"
    deadline = time.monotonic() + 60
    while len(list(runs.glob("*/fold-0/metrics.csv"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(script.process.pid, signal.SIGTERM)
    ended = script.wait(60)
    assert ended.code == 1 and "the same command continues" in ended.stderr
    logs = list(runs.glob("*/fold-0.log"))
    assert len(logs) == 2
    assert all("asked to stop: saved in epoch" in last_line(log) for log in logs)


def test_rows_end_in_tables_whatever_becomes_of_others(folder, quick, tmp_path):
    generated = tmp_path / "generated"
    path, results = folder / "losses.yaml", tmp_path / "results"
    added = f"  - {{name: Extra, set: {{data.extra: ['{generated}']}}}}\n"
    made = f"speed: true\ngenerate: {{'{generated}': 2}}\n"
    short = "  - {name: Short"
    write_text(path, path.read_text().partition(short)[0] + added + made)
    write_text(folder / "budgets/gpu.yaml", "splits: [0]\n")
    words = [path, "--budget", "gpu", "--results", results, "--set", *quick, "train.epochs=1"]
    done = run_script("make_tables", *words)
    assert done.code == 1 and "1 of 3 trainings failed" in done.stderr
    assert "losses: Diverging, fold 0: error: the loss became" in done.stdout
    table = pd.read_csv(results / "losses.csv").set_index("row")
    assert table["splits"].to_dict() == {"Usual": 1, "Diverging": 0, "Extra": 1}
    assert table["images_per_s"].notna().to_dict()["Usual"]
    assert table.loc["Usual", "budget"].endswith("[5] train.epochs=1")
    fold = tmp_path / f"runs/{table.loc['Extra', 'run']}/fold-0"
    assert "levels_tta" not in np.load(fold / "held_out.npz")  # one view: eight take long
    names = read_json(fold / "model/training.json")
    assert sum(n.startswith("generated/") for n in names["training_images"]) == 2
    before = (results / "losses.csv").read_bytes()
    again = run_script("make_tables", path, "--minutes", "0", *words[1:])
    assert "3 trainings, 2 of them finished" in again.stdout and again.code == 0
    assert "1 trainings are left" in again.stdout
    assert (results / "losses.csv").read_bytes() == before


def test_one_for_each_core_of_a_cpu_and_as_many_as_cores_feed_on_gpus(monkeypatch):
    monkeypatch.setattr(table_training.os, "cpu_count", lambda: 2)
    assert places("cpu") == ["cpu"] * 2 and places("cpu", 3) == ["cpu"] * 3
    monkeypatch.setattr(table_training, "pick_device", lambda name: SimpleNamespace(type="cuda"))
    monkeypatch.setattr(table_training.os, "cpu_count", lambda: 16)
    assert places("auto") == ["auto"] * 5
    assert sorted(places("cuda:0,cuda:1")) == ["cuda:0"] * 2 + ["cuda:1"] * 2
