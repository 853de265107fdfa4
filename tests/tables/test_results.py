import shutil
from dataclasses import replace

import pandas as pd
import pytest
from small_tables import write_tables

from canet.core.console import REPOSITORY, UserError
from canet.core.files import write_text
from canet.tables.plan import (
    FOLDER,
    Training,
    path_of,
    plan_table,
    read_table,
    trainings_of,
)
from canet.tables.results import PAGE, read_results, write_page, write_results

FIGURES = {"pooled_f1": 0.6, "one_component": 0.5, "parameters": 12345678, "training_s": 2.0}
FIGURES |= {"device": "d"}


@pytest.fixture
def folder(tmp_path):
    return write_tables(tmp_path / "tables")


def test_means_spreads_and_paired_differences(folder, monkeypatch):
    f1 = {("Usual", 0): 0.70, ("Usual", 1): 0.74, ("Short", 1): 0.75, ("Short", 2): 0.5}
    plan = plan_table(folder / "losses.yaml", [])
    row = {planned.recipe.name: planned.row.name for planned in plan.rows}

    def scores(self: Training) -> dict | None:
        found = f1.get((row[self.recipe.name], self.fold))
        return found and {"f1": found} | FIGURES | {"commit": f"c{self.fold}"}

    monkeypatch.setattr(Training, "scores", scores)
    written = write_results(plan, trainings_of([plan]), folder / "results")
    usual, diverging, short = written.to_dict("records")
    assert usual["f1"] == pytest.approx(0.72) and usual["splits"] == 2
    assert usual["f1_sd"] == pytest.approx(0.02 * 2**0.5)
    assert pd.isna(usual["change"]) and pd.isna(diverging["f1"]) and diverging["splits"] == 0
    assert short["change"] == pytest.approx(0.01) and pd.isna(short["change_sd"])  # split 1 alone
    assert "12345678" in (folder / "results" / "losses.csv").read_text()
    page = (folder / "results" / PAGE).read_text()
    assert "| Usual | – | 0.7200 ± 0.0283 (2) | – | 0.6000 | 50% | 12.35 M | 2 s |" in page
    assert "| Diverging | – | – |" in page and "## Inputs" not in page
    assert "- commit: c0; c1; c2\n" in page  # each once, though two rows share c1


def test_a_row_that_is_not_trained_here_keeps_its_figures(folder, monkeypatch):
    plan = plan_table(folder / "losses.yaml", [])
    row = {planned.recipe.name: planned.row.name for planned in plan.rows}
    trained = {"Usual": 0.70, "Short": 0.75}

    def scores(self: Training) -> dict | None:
        f1 = trained.get(row[self.recipe.name])
        return f1 and {"f1": f1 + self.fold / 100} | FIGURES | {"commit": f"c{f1}"}

    monkeypatch.setattr(Training, "scores", scores)
    results = folder / "results"
    whole = write_results(plan, trainings_of([plan]), results)
    content = (results / "losses.csv").read_text()
    trained.clear()  # on another machine
    kept = write_results(plan, trainings_of([plan]), results)
    assert (results / "losses.csv").read_text() == content
    assert kept["f1"].dropna().tolist() == pytest.approx(whole["f1"].dropna().tolist())
    trained["Short"] = 0.5  # which trains one of them anew
    usual, _, short = write_results(plan, trainings_of([plan]), results).to_dict("records")
    assert usual["f1"] == pytest.approx(0.71) and usual["commit"] == "c0.7"
    assert short["change"] == pytest.approx(-0.2) and short["splits"] == 3
    monkeypatch.setattr(Training, "scores", lambda self: None)
    shutil.copy(folder / "losses.yaml", folder / "again.yaml")  # shares its trainings
    again = plan_table(folder / "again.yaml", [])
    shared = write_results(again, trainings_of([again]), results)
    assert shared["f1"].dropna().tolist() == pytest.approx([usual["f1"], short["f1"]])
    other = plan_table(folder / "losses.yaml", ["train.epochs=8"])
    assert not write_results(other, trainings_of([other]), results)["splits"][
        0
    ]  # of other settings


def test_a_row_of_other_images_or_folds_is_not_kept(folder, monkeypatch):
    plan = plan_table(folder / "losses.yaml", [])
    results, path = folder / "results", folder / "results" / "losses.csv"
    here = ["mine"]
    monkeypatch.setattr(Training, "judged_on", property(lambda self: here[0]))
    monkeypatch.setattr(Training, "scores", lambda self: FIGURES | {"f1": 0.7, "commit": "c"})
    write_results(plan, trainings_of([plan]), results)
    usual = plan.rows[0].recipe.name
    again = FIGURES | {"f1": 0.5, "commit": "d"}
    monkeypatch.setattr(Training, "scores", lambda t: again if t.recipe.name == usual else None)
    content = path.read_text()
    for here[0], counts in (("mine", True), ("", True), ("others", False)):
        path.write_text(content)
        table = write_results(plan, trainings_of([plan]), results)
        assert table["images"][0] == here[0]
        assert table["change"].notna().any() == table["f1"][1:].notna().any() == counts
    assert set(read_results(path)["images"]) == {"others", ""}
    path.write_text(content.replace("mine", ""))  # of a line that does not tell nothing is known
    assert write_results(plan, trainings_of([plan]), results)["f1"].notna().all()
    lines = [line.split(",") for line in content.splitlines()]
    assert lines[0][-2] == "images"
    path.write_text("\n".join(",".join([*line[:-2], line[-1]]) for line in lines))
    assert (read_results(path)["images"] == "").all()  # a CSV from before


def test_images_a_second_are_those_of_the_device_that_was_measured(folder, monkeypatch):
    plan = plan_table(folder / "losses.yaml", [])
    fast = replace(plan, table=plan.table.model_copy(update={"speed": True}))
    fixed = FIGURES | {"f1": 0.7, "commit": "c"}
    monkeypatch.setattr(Training, "scores", lambda self: fixed)
    measured = {"images_per_s": 9.0, "device": "all threads"}
    monkeypatch.setattr(Training, "speed", lambda self: measured)
    write_results(fast, trainings_of([fast]), folder / "results")
    page = (folder / "results" / PAGE).read_text()
    assert "- device: d\n- images/s on: all threads\n- commit: c\n" in page


def test_a_row_that_the_budget_leaves_out_is_not_trained_and_says_why(folder, monkeypatch):
    path = folder / "budgets/gpu.yaml"
    write_text(path, path.read_text() + "leave_out: {losses: {Diverging: too long}}\n")
    plan = plan_table(folder / "losses.yaml", [])
    assert {row for t in trainings_of([plan]) for row in t.rows} == {
        "losses: Usual",
        "losses: Short",
    }
    fixed = FIGURES | {"commit": "c"}
    monkeypatch.setattr(Training, "scores", lambda t: fixed | {"f1": t.recipe.loss.gamma / 10})
    above = replace(plan, table=plan.table.model_copy(update={"compare": "above"}))
    written = write_results(above, trainings_of([above]), folder / "results")
    usual, diverging, short = written.to_dict("records")
    assert pd.isna(diverging["f1"]) and pd.isna(diverging["change"])
    assert short["change"] == pytest.approx(short["f1"] - usual["f1"]) != 0
    page = (folder / "results" / PAGE).read_text()
    assert "- Diverging: not trained, rows are compared without it; too long\n" in page


@pytest.mark.parametrize("budget", ["cpu", "cpu_long"])
def test_the_results_of_this_repository_make_its_page(tmp_path, budget):
    committed = REPOSITORY / "results" / budget
    for path in committed.glob("*.csv"):
        rows = read_table(FOLDER / f"{path.stem}.yaml").rows
        assert read_results(path)["row"].tolist() == [row.name for row in rows]
        shutil.copy(path, tmp_path)
    write_page(FOLDER, tmp_path)
    assert (tmp_path / PAGE).read_text() == (committed / PAGE).read_text()


@pytest.mark.parametrize("path", sorted(REPOSITORY.glob("results/*/*.csv")), ids=lambda p: p.stem)
def test_the_results_of_this_repository_are_of_the_runs_that_are_planned(path):
    """Else the first training that ends would write their figures away."""
    plan = plan_table(path_of(path.stem), [], path.parent.name)
    planned = {row.row.name: row.recipe.name for row in plan.rows}
    lines = read_results(path)
    kept = lines[lines["splits"] > 0]
    assert len(kept) and kept["run"].tolist() == [planned[name] for name in kept["row"]]


@pytest.mark.parametrize("by_split", ["0.4291", "0:high", "a:0.4", "0:0.4:1"])
def test_a_damaged_table_is_one_line(tmp_path, by_split):
    path = tmp_path / "table3.csv"
    content = (REPOSITORY / "results/cpu/table3.csv").read_text()
    write_text(path, content.replace("0:0.4291 1:0.4391 2:0.4427", by_split))
    write_text(tmp_path / "inputs.csv", "row,splits\nUsual,many\n")
    for damaged in (path, tmp_path / "inputs.csv"):
        with pytest.raises(UserError, match=rf"{damaged.name}: damaged; delete it"):
            read_results(damaged)
