"""The last lines of run.sh, on files made by hand."""

import zipfile

import pytest

from canet.core.files import write_json, write_text
from canet.data.data_set import DataSet
from canet.report.summary import print_summary

SCORES = """method,f1
geometry,0.9
closed_1.05,0.61
closed_2,0.5
filled_2,0.4
oracle: and mask,0.95
zhang_suen,0.1
"""


@pytest.fixture
def run(tiny):
    """A geometry run with its submission, which is right."""
    recipe = tiny.model_copy(update={"method": "geometry"})
    write_json(recipe.run_folder / "selection.json", {"f1_cross_fitted": 0.9, "images": 15})
    write_text(recipe.run_folder / "scores.csv", SCORES)
    labels = DataSet.of(recipe).test_skeletons
    recipe.zip_path.parent.mkdir()
    with zipfile.ZipFile(recipe.zip_path, "w") as archive:
        for name in labels.names:
            archive.writestr(name, labels.content(name))
    submitted(recipe, "tiny", DataSet.of(recipe).test_shapes.digest)
    return recipe


def submitted(recipe, run: str, digest: str) -> None:
    manifest = {"run": run, "images": {"sha256": digest}}
    write_json(recipe.zip_path.with_suffix(".json"), manifest)


def told(recipe, capsys) -> dict[str, str]:
    """What the lines say, by their first words."""
    print_summary(recipe)
    lines = capsys.readouterr().out.splitlines()[1:]
    return {line[3:13].strip(): line[13:] for line in lines}


def test_the_zip_may_be_of_another_run_or_of_other_shapes(run, capsys):
    assert told(run, capsys)["test F1"] == "1.0000 by this run, on 3 test shapes"
    submitted(run, "geometry", DataSet.of(run).test_shapes.digest)
    assert told(run, capsys)["test F1"] == "1.0000 by geometry, on 3 test shapes"
    submitted(run, "tiny", "other")
    assert told(run, capsys)["test F1"] == "unknown: no submission is of the test shapes"


def test_the_best_single_candidate_is_told_and_a_study_where_there_is_one(run, capsys):
    lines = told(run, capsys)
    assert "best single candidate 0.6100, oracle 0.9500" in lines["F1"] and "study" not in lines
    chosen = {"f1_cross_fitted": 0.9, "images": 15, "study": "tiny: selection"}
    write_json(run.run_folder / "selection.json", chosen)
    assert told(run, capsys)["study"].startswith("optuna-dashboard sqlite:///")


def test_pictures_of_folds_that_were_set_aside_are_left_out(run, capsys):
    older = run.model_copy(update={"name": "tiny.older"})
    run.run_folder.rename(older.run_folder)
    for path in (run.zip_path, run.zip_path.with_suffix(".json")):
        path.rename(path.with_name(f"tiny.older{path.suffix}"))
    for folder in ("fold-0", "fold-0.old1"):
        write_text(older.run_folder / folder / "curves.png", "")
    pictures = told(older, capsys)["pictures"].split(", ")
    assert [p.rpartition("tiny.older")[2] for p in pictures] == [".png", "/fold-0/curves.png"]
