"""Command lines: help, errors in one line, where commits are marked."""

import ast
import os
import subprocess
import sys

import pytest
from commands import run
from scripts import run_script

from canet.core import provenance
from canet.core.console import REPOSITORY
from canet.core.files import write_text

SCRIPTS = sorted((REPOSITORY / "src").glob("*.py"))


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
    assert "examples:\n  python src/make_folds.py" in run_script("make_folds", "--help").stdout


def test_commands_start_where_there_are_no_alarms():
    """As on Windows."""
    program = (
        "import signal, sys; del signal.SIGALRM, signal.setitimer\n"
        f"sys.path.insert(0, {str(REPOSITORY / 'src')!r}); sys.argv = ['skeletonize', '--help']\n"
        "from canet.skeletons.command import run; run()"
    )
    assert "skeletonize mask.png" in run(sys.executable, "-c", program).stdout


def test_a_recipes_path_may_hold_an_equals_sign(tmp_path):
    path = tmp_path / "cpu_train.epochs=10" / "recipe.yaml"
    write_text(path, "name: x\ntrain: 1\n")
    failed = run("bash", "run.sh", str(path), check=False)
    assert failed.returncode == 1 and f"recipe {path}, as asked" in failed.stdout
    assert "train is 1" in failed.stderr


def test_run_sh_explains_itself():
    assert "usage: bash run.sh" in run("bash", "run.sh", "--help").stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["cup"], "error: no recipe cup; there are base canet canet_all_stages"),
        (["cpu", "--sedd"], "error: no option --sedd; bash run.sh --help shows what there is"),
        (["cpu", "--set", "train.epochs=3"], "error: leave --set out, as in bash run.sh cpu train"),
        (["cpu", "fast"], "error: fast is no override: write key=value, such as train.epochs=20"),
    ],
)
def test_run_sh_refuses_what_it_does_not_know_before_it_installs(words, message):
    failed = run("bash", "run.sh", *words, check=False)
    assert failed.returncode == 1 and message in failed.stderr
    assert "check_input" not in failed.stdout and "setting up" not in failed.stdout


def test_letters_that_an_output_lacks_are_written_as_codes(tmp_path):
    """As in a file or pipe on Windows."""
    (tmp_path / "手.png").write_bytes(b"no image")
    words = [sys.executable, REPOSITORY / "src/skeletonize.py", "手.png"]
    env = os.environ | {"PYTHONIOENCODING": "cp1252"}
    done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, encoding="cp1252")
    assert done.returncode == 1 and not done.stderr
    assert "error: \\u624b.png: is not a PNG that can be read" in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("check_input", "--recipe", "cpu", "--set", "data.root=nowhere"), "see input/README.md"),
        (("train", "--recipe", "nothing"), "no recipe nothing"),
        (("train", "--recipe", "cpu", "--set", "train.epoch=1"), "did you mean train.epochs?"),
        (("train", "--recipe", "geometry"), "recipe geometry trains no network"),
        (("make_submission", "--run", "nothing"), "no run nothing"),
        (("tune_loss", "--recipe", "geometry"), "recipe geometry trains no network"),
        (("tune_threshold", "--recipe", "geometry"), "recipe geometry trains no network"),
        (("export_weights", "--run", "weights/geometry"), "is geometry: publish a copy of"),
        (("make_submission", "--recipe", "cpu", "--set", "train.epoch=1"), "mean train.epochs?"),
        (("score", "nothing.zip", "input"), "holds no PNG"),
        (("train", "--recipe", "cpu", "--fold", "x"), "--fold x"),
        (("baseline", "lee", "--images", "input", "--out", "."), "--out .: expected a folder with"),
    ],
)
def test_errors_are_messages_not_tracebacks(words, message):
    failed = run_script(*words)
    assert failed.code == 1
    assert message in failed.stderr and "Traceback" not in failed.stderr


@pytest.mark.parametrize("script", ["make_submission", "train", "make_tables", "export_weights"])
def test_a_package_that_is_missing_is_named_with_what_brings_it(script, tmp_path):
    program = "import sys, runpy; sys.modules['torch'] = None; sys.argv = sys.argv[1:]\n"
    program += f"sys.path.insert(0, {str(REPOSITORY / 'src')!r})\n"
    program += "runpy.run_path(sys.argv[0], run_name='__main__')"
    words = [str(REPOSITORY / f"src/{script}.py"), "--help"]
    if script == "make_submission":  # which imports it late
        words[1:] = ["--run", "weights/canet_axis", "--images", str(tmp_path)]
    failed = run(sys.executable, "-c", program, *words, check=False)
    told = "error: torch is missing; pip install '.[train]', or bash run.sh\n"
    assert failed.returncode == 1 and failed.stderr == told


@pytest.mark.parametrize("words", [["train.epochs=3"], ["--epochs", "3"]])
def test_a_key_without_set_is_told_how(words):
    failed = run_script("make_folds", "--recipe", "cpu", *words)
    assert failed.code == 2 and "by --set, as in --set train.epochs=20" in failed.stderr


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
    monkeypatch.setattr(provenance, "REPOSITORY", tmp_path)
    clean = provenance.commit()
    assert len(clean) == 12
    write_text(tmp_path / "results/a.csv", "2\n")  # what a table writes between its trainings
    assert provenance.commit() == clean
    write_text(tmp_path / "weights/mine/README.md", "mine\n")
    assert provenance.commit() == clean
    write_text(tmp_path / decides, "2\n")
    assert provenance.commit() == clean + "+"


def test_check_input_shows_expected_and_found(tmp_path):
    (tmp_path / "img_train_shape").mkdir()
    failed = run_script("check_input", "--recipe", "cpu", "--set", f"data.root={tmp_path}")
    assert "expected:" in failed.stderr and "found:" in failed.stderr
    assert "img_train2" in failed.stderr
