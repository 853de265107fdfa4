"""Which run predicts, where the submission goes, and which options go together."""

from argparse import ArgumentParser

import pytest
import torch

from canet.core import cli
from canet.core.console import UserError
from canet.core.files import read_json, write_json
from canet.core.recipe_files import load
from canet.core.runs import fold_folder
from canet.inference.trained_run import load_run
from canet.search.threshold import search_threshold
from canet.submission import make
from canet.submission.by_network import network_predictor
from canet.submission.make import add_options, destination, folder_to_use, make_submission


def options(*words: str, device: tuple[str, ...] = ("--device", "cpu")):
    parser = ArgumentParser()
    add_options(parser)
    cli.add_overrides(parser)
    parser.add_argument("--force", action="store_true")
    return parser.parse_args([*words, *device])


def test_a_plain_name_goes_to_the_submissions(tmp_path):
    default = tmp_path / "submissions" / "net.zip"
    assert destination(None, default) == default
    for out in ("mine", "mine.zip"):
        assert destination(out, default) == tmp_path / "submissions" / "mine.zip"
    assert destination("epoch=3 lr=0.1", default).name == "epoch=3 lr=0.1.zip"
    assert destination(f"{tmp_path}/mine", default) == tmp_path / "mine.zip"
    assert str(destination("./some/mine", default)) == "some/mine.zip"


def test_a_recipe_names_its_run_but_run_goes_first(tiny, tmp_path, monkeypatch):
    assert folder_to_use(options(), tiny) == tiny.run_folder
    (tmp_path / "another").mkdir()
    asked = options("--run", str(tmp_path / "another"))
    assert folder_to_use(asked, tiny) == tmp_path / "another"
    with pytest.raises(UserError, match="no run nothing; trained runs: "):
        folder_to_use(options("--run", "nothing"), None)


def test_without_any_run_what_is_shipped_is_used(monkeypatch, tmp_path, capsys):
    def none_there(name):
        raise UserError("no trained run")

    monkeypatch.setattr(make, "find_run", none_there)
    assert folder_to_use(options(), None) == make.SHIPPED
    assert "nothing is trained yet: weights/geometry/ is used" in capsys.readouterr().out
    monkeypatch.setattr(make, "SHIPPED", tmp_path)  # nothing comes along
    with pytest.raises(UserError, match="no trained run"):
        folder_to_use(options(), None)


def test_a_recipes_run_is_predicted_on_its_test_shapes(trained, capsys):
    make_submission(options(), trained)
    said = capsys.readouterr().out
    assert "3 PNGs in " in said and "larger shapes at 64 px" in said
    manifest = read_json(trained.zip_path.with_suffix(".json"))
    assert manifest["images"]["folder"] == "img_test_shape" and manifest["longest_px"] == 64
    make_submission(options(), trained)
    assert "current for this recipe and these inputs: skipped" in capsys.readouterr().out
    make_submission(options("--longest-px", "0"), trained)
    assert "larger shapes" not in capsys.readouterr().out
    make_submission(options("--threshold", "0.9"), trained)  # the same place, other predictions
    assert read_json(trained.zip_path.with_suffix(".json"))["threshold"] == 0.9


def test_another_run_is_named_by_the_zip(trained, data_root):
    folder = trained.run_folder.with_name("other")
    trained.run_folder.rename(folder)
    make_submission(options("--run", str(folder)), trained)
    assert trained.zip_path.with_name("other.zip").is_file() and not trained.zip_path.exists()


def test_what_is_set_goes_over_what_was_tuned_for_another_run(trained):
    args = options("--run", str(trained.run_folder))
    args.overrides = ["postprocess.components=one", "predict.batch=1", "train.epochs=9"]
    changed = {"components": "one", "thin": True}  # of which --set names one
    asked = trained.model_copy(
        update={
            "postprocess": trained.postprocess.model_validate(changed),
            "predict": trained.predict.model_validate({"batch": 1, "tta": True}),
        }
    )
    predictor = network_predictor(args, asked, trained.run_folder)
    tuned = trained.postprocess.model_dump()
    assert predictor.facts["postprocess"] == tuned | {"components": "one"}
    assert not predictor.facts["tta"] and predictor.predict.__self__.batch == 1


def test_what_is_set_without_a_recipe_goes_over_the_runs_own(trained, tmp_path):
    args = options("--run", str(trained.run_folder), "--out", str(tmp_path / "mine"))
    args.overrides = ["postprocess.components=one", "predict.batch=1"]
    make_submission(args, None)
    manifest = read_json(tmp_path / "mine.json", postprocess=dict, images=dict)
    assert manifest["postprocess"]["components"] == "one"
    assert manifest["images"]["count"] == 3  # its own test shapes
    args.overrides = ["train.epochs=9"]
    with pytest.raises(UserError, match=r"--set train\.epochs: .* is trained, so only predict"):
        make_submission(args, None)
    args.overrides = ["predict.batch=-1"]
    with pytest.raises(UserError, match=r"predict\.batch is -1"):
        make_submission(args, None)


@pytest.mark.parametrize("is_tuned", [False, True])
def test_as_many_views_as_the_threshold_is_for(is_tuned, trained):
    path = fold_folder(trained, 0) / "model" / "training.json"
    facts = read_json(path)
    facts["recipe"]["predict"]["tta"] = True  # it was trained with; what was tuned goes first
    write_json(path, facts)
    if is_tuned:
        search_threshold(trained, trials=1)
    predictor = network_predictor(options(), None, trained.run_folder)
    assert predictor.facts["tta"] is not is_tuned


def test_the_networks_of_a_run_are_averaged_as_asked(trained):
    other = fold_folder(trained, 1)
    fold_folder(trained, 0).rename(other)
    make_submission(options("--folds", "1"), trained)
    assert len(load_run(trained.run_folder, ["1", "1"], torch.device("cpu")).models) == 1
    with pytest.raises(UserError, match="fold 0 is not trained; trained are 1"):
        make_submission(options("--folds", "0", "1"), trained)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--longest-px", "3"], "--longest-px 3: expected 32 or more, or 0"),
        (["--longest-px", "-1"], "--longest-px -1: expected 32 or more, or 0"),
        (["--run", "weights/geometry", "--tta"], "--tta is for networks"),
        (["--run", "weights/geometry", "--threshold", "0.3"], "--threshold is for networks"),
        (["--run", "weights/geometry", "--threshold", "0"], "--threshold is for networks"),
        (["--run", "weights/geometry", "--spur-px", "0"], "--spur-px is for networks"),
        (["--run", "weights/geometry"], "--device is for networks"),
        (["--run", "weights/canet_axis", "--folds", "0"], "is one model; leave it out"),
    ],
)
def test_options_that_do_not_fit_are_refused(words, message):
    with pytest.raises(UserError, match=message):
        make_submission(options(*words), None)


def test_a_forest_whose_recipe_is_damaged_is_refused(tmp_path):
    write_json(tmp_path / "config.json", {"recipe": load("geometry").stored()})
    (tmp_path / "forest.npz").write_bytes(b"")
    with pytest.raises(UserError, match="damaged"):
        make_submission(options("--run", str(tmp_path), device=()), None)


def test_what_is_set_of_networks_is_left_out_by_geometry_and_that_is_said(data_root, capsys):
    words = ["--run", "weights/geometry", "--images", str(data_root / "img_test_shape")]
    args = options(*words, device=())
    args.overrides = ["postprocess.components=one", "train.epochs=2", "predict.tta=true"]
    make.predictor_of(args, None, make.SHIPPED)
    said = "warning: postprocess.components, predict.tta: left out, since for networks; weights/g"
    assert said in capsys.readouterr().out
