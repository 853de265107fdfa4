"""Runs beside each other, on the images that both judged."""

import numpy as np
import pandas as pd
import pytest
from scripts import run_script

from canet.core.console import UserError
from canet.core.files import write_json, write_text
from canet.evaluation.comparison import compare


def f1_of(name: str, **f1: float) -> pd.Series:
    return pd.Series(f1, name=name)


def test_differences_are_paired():
    first = f1_of("first", a=0.5, b=0.7, c=0.9, only_here=0.1)
    second = f1_of("second", c=0.9, b=0.8, a=0.7, only_there=1.0)
    same, other = compare([first, second]).to_dict("records")
    assert (same["images"], same["f1"]) == (4, pytest.approx(0.55))
    assert pd.isna(same["difference"])
    assert (other["images"], other["in_common"], other["better"], other["worse"]) == (4, 3, 2, 0)
    assert other["difference"] == pytest.approx(0.1)
    assert other["standard_error"] == pytest.approx(np.std([0.2, 0.1, 0], ddof=1) / np.sqrt(3))


def test_what_cannot_be_compared_is_one_line():
    first = f1_of("first", a=0.5)
    with pytest.raises(UserError, match="second and first have no image in common"):
        compare([first, f1_of("second", b=0.5)])
    with pytest.raises(UserError, match="named twice"):
        compare([first, first])
    with pytest.raises(UserError, match="second: an image is there twice"):
        compare([first, pd.Series([0.1, 0.2], ["a", "a"], name="second")])


def test_runs_and_files_by_the_script(trained, tmp_path):
    run, file = trained.run_folder, tmp_path / "theirs.csv"
    missing = run_script("compare", run, file)
    assert missing.code == 1 and "out_of_fold.csv: is missing; expected what" in missing.stderr
    write_text(run / "out_of_fold.csv", "image,f1,breaks\na,0.5,0\nb,0.75,1\n")
    write_text(file, "image,f1\nb,0.25\na,0.5\n")
    done = run_script("compare", run, file, "--csv", tmp_path / "both.csv")
    assert done.stdout.splitlines()[1].split()[1:] == ["2", "0.6250"]
    figures = done.stdout.splitlines()[2].split()[1:]
    assert figures == ["2", "0.3750", "2", "-0.2500", "0.2500", "0", "1"]
    both = pd.read_csv(tmp_path / "both.csv")
    assert both.to_dict("list") == {
        "image": ["a", "b"],
        str(run): [0.5, 0.75],
        str(file): [0.5, 0.25],
    }
    said = "theirs.csv: has no columns image and f1 (numbers); expected what score.py --csv writes"
    for content in ("image,f1\nb,much\n", "", (tmp_path / "both.csv").read_text()):
        write_text(file, content)
        assert said in run_script("compare", run, file).stderr
    write_text(run / "out_of_fold.csv", "")
    assert "out_of_fold.csv: damaged; repeat the stage" in run_script("compare", run).stderr
    tuned = {"threshold": 0.5, "postprocess": {}, "study": "t", "images": 2}
    write_json(run / "threshold.json", tuned | {"trained": {"0": "another"}})
    assert "of an earlier training" in run_script("compare", run, file).stderr
