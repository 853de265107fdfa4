"""The commands as a user types them, on a data set of a few generated shapes."""

import ast
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from canet import stage
from canet.files import REPOSITORY, read_grey, write_png, write_text
from canet.metrics import component_count

SCRIPTS = sorted((REPOSITORY / "src").glob("*.py"))
# run.sh takes the active environment; the tests' interpreter is that
ENVIRONMENT = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
ENVIRONMENT["PYTHON"] = sys.executable


def run(*words: str, check: bool = True) -> subprocess.CompletedProcess:
    return subprocess.run(
        words, cwd=REPOSITORY, env=ENVIRONMENT, capture_output=True, text=True, check=check
    )


def script(name: str, *words: str, check: bool = False) -> subprocess.CompletedProcess:
    return run(sys.executable, f"src/{name}.py", *words, check=check)


def test_demo_from_nothing_to_a_scored_submission(overrides, tmp_path):
    own = [o for o in overrides if not o.startswith(("data.root", "demo."))]
    own += [f"data.root={tmp_path / 'made'}", "demo.train=12", "demo.test=2", "loss.tuned=true"]
    first = run("bash", "run.sh", "demo", *own)
    assert first.stdout.startswith("recipe demo")
    for line in ("PNGs", "zip", "pictures", "study", "F1", "pieces", "thinning", "test F1", "open"):
        assert f"\n   {line} " in first.stdout
    told = next(li for li in first.stdout.splitlines() if li.startswith("   test F1 "))
    assert float(told.split(" by weights/geometry")[0].split()[-1]) > 0.8
    assert (tmp_path / "submissions" / "demo_by_geometry.png").is_file()
    zip_path = tmp_path / "submissions" / "tiny.zip"
    with zipfile.ZipFile(zip_path) as archive:
        names = archive.namelist()
    assert sorted(names) == sorted(p.name for p in (tmp_path / "made/img_test_shape").iterdir())
    manifest = json.loads(zip_path.with_suffix(".json").read_text())
    assert manifest.keys() >= {"recipe", "commit", "checkpoints", "threshold", "versions"}
    f1 = next(li for li in first.stdout.splitlines() if li.startswith("   F1 ")).split()[1]
    assert f"<strong>{f1}</strong>" in (tmp_path / "runs/tiny/report.html").read_text()
    content, written = zip_path.read_bytes(), zip_path.stat().st_mtime_ns

    again = run("bash", "run.sh", "demo", *own)
    assert again.stdout.count("skipped") >= 6
    assert zip_path.stat().st_mtime_ns == written and zip_path.read_bytes() == content

    labels, shapes = str(tmp_path / "made/img_test2"), str(tmp_path / "made/img_test_shape")
    scored = script("score", str(zip_path), labels, "--shapes", shapes, check=True)
    own_f1 = scored.stdout.splitlines()[1].split()
    assert told.split()[2] in own_f1  # "test F1 0.1234 by this run"
    assert "zhang_suen" in scored.stdout and "one_component" in scored.stdout
    out = str(tmp_path / "thin")
    script("baseline", "zhang_suen", "--images", shapes, "--out", out, check=True)
    by_hand = script("score", f"{out}.zip", labels, check=True).stdout.splitlines()[1].split()
    in_table = next(li for li in scored.stdout.splitlines() if "zhang_suen" in li).split()
    assert by_hand[1:] == in_table[1:]


def test_any_folder_of_any_sizes_and_all_images(overrides, tmp_path):
    """Fold `all` alone: no threshold to tune; then shapes that are no 256×256."""
    own = [*overrides, "train.folds=[all]", "train.epochs=1"]
    done = run("bash", "run.sh", "demo", *own)
    assert "none held out" in done.stdout and "unknown: no image was held out" in done.stdout
    images = tmp_path / "images"
    for i, size in enumerate([(40, 60), (100, 33), (40, 60)]):
        shape = np.zeros(size, np.uint8)
        shape[5:-5, 5:-5] = 255
        write_png(images / f"box-{i}.PNG", shape)
    out = tmp_path / "out"
    found = tmp_path / "runs" / "tiny"
    script("make_submission", "--run", str(found), "--images", str(images), "--out", str(out),
           check=True)  # fmt: skip
    assert {p.name: read_grey(p).shape for p in out.iterdir()} == {
        "box-0.PNG": (40, 60), "box-1.PNG": (100, 33), "box-2.PNG": (40, 60)
    }  # fmt: skip
    manifest = json.loads((tmp_path / "out.json").read_text())
    assert manifest["postprocess"]["components"] == "any"
    (out / "box-0.PNG").unlink()
    again = script("make_submission", "--run", str(found), "--images", str(images),
                   "--out", str(out), check=True)  # fmt: skip
    assert "skipped" not in again.stdout and (out / "box-0.PNG").exists()
    joined = script("make_submission", "--run", str(found), "--images", str(images), "--out",
                    str(out), "--components", "one", "--join", "path", "--spur-px", "3",
                    "--spur-radii", "0.5", check=True)  # fmt: skip
    assert "one piece, joined by paths, spurs under 3 px trimmed" in joined.stdout
    switches = json.loads((tmp_path / "out.json").read_text())["postprocess"]
    assert switches["components"] == "one" and switches["spur_radii"] == 0.5
    assert all(component_count(read_grey(p) > 0) == 1 for p in out.iterdir())
    failed = script("make_submission", "--run", str(found), "--spur-px", "-1")
    assert "--spur-px -1: expected 0 or more" in failed.stderr


def test_a_wrong_data_root_is_no_invitation_to_generate(tmp_path):
    failed = run("bash", "run.sh", f"data.root={tmp_path / 'typo'}", check=False)
    assert failed.returncode == 1 and "mend the path" in failed.stderr
    assert not (tmp_path / "typo").exists()


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.name)
def test_every_script_documents_itself(path):
    shown = ast.get_docstring(ast.parse(path.read_text()))
    assert "examples:" in shown and f"src/{path.name}" in shown
    assert "reads " in shown and "writes " in shown


def test_help_shows_that_document():
    assert "examples:\n  python src/make_folds.py" in script("make_folds", "--help").stdout


def test_run_sh_explains_itself():
    assert "usage: bash run.sh" in run("bash", "run.sh", "--help").stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("check_input", "--recipe", "cpu", "--set", "data.root=nowhere"), "see input/README.md"),
        (("train", "--recipe", "nothing"), "no recipe nothing"),
        (("train", "--recipe", "cpu", "--set", "train.epoch=1"), "did you mean train.epochs?"),
        (("make_submission", "--run", "nothing"), "no run nothing"),
        (("score", "nothing.zip", "input"), "holds no PNG"),
        (("train", "--recipe", "cpu", "--fold", "x"), "--fold x"),
    ],
)
def test_errors_are_messages_not_tracebacks(words, message):
    failed = script(*words)
    assert failed.returncode == 1
    assert message in failed.stderr and "Traceback" not in failed.stderr


def test_run_sh_tells_tables_from_overrides():
    failed = run(
        "bash", "run.sh", "tables", "table4", "train.epoch=3", "--minutes", "0", check=False
    )
    assert failed.returncode == 1 and "did you mean train.epochs?" in failed.stderr
    assert "no table table9" in run("bash", "run.sh", "tables", "table9", check=False).stderr


@pytest.mark.parametrize("decides", ["src/a.py", "pipelines/new.yaml", "tables/budgets/new.yaml"])
def test_a_commit_is_marked_where_what_decides_differs_from_it(decides, tmp_path, monkeypatch):
    def git(*words: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", "-C", tmp_path, *who, *words], capture_output=True, check=True)

    for name in ("src/a.py", "results/a.csv"):
        write_text(tmp_path / name, "1\n")
    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    monkeypatch.setattr(stage, "REPOSITORY", tmp_path)
    clean = stage.commit()
    assert len(clean) == 12
    write_text(tmp_path / "results/a.csv", "2\n")  # what a table writes between its trainings
    assert stage.commit() == clean
    write_text(tmp_path / "weights/mine/README.md", "mine\n")
    assert stage.commit() == clean
    write_text(tmp_path / decides, "2\n")
    assert stage.commit() == clean + "+"


def test_check_input_shows_expected_and_found(tmp_path):
    (tmp_path / "img_train_shape").mkdir()
    failed = script("check_input", "--recipe", "cpu", "--set", f"data.root={tmp_path}")
    assert "expected:" in failed.stderr and "found:" in failed.stderr
    assert "img_train2" in failed.stderr
