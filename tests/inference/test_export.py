import json
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import copy_folder, tiny_recipe

import make_submission
from canet.core.console import REPOSITORY, UserError
from canet.core.images import read_grey, write_png
from canet.data import demo
from canet.data.data_set import DataSet
from canet.evaluation.score_tables import score_predictions
from canet.geometry.metrics import component_count, summarize
from canet.inference.export import export
from canet.inference.trained_run import load_run
from canet.network import CANet
from canet.search.threshold import search_threshold

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def tuned_once(data_root, trained_once, tmp_path_factory) -> Path:
    """The trained run with a threshold, and exported to `weights/tiny` beside it."""
    folder = tmp_path_factory.mktemp("tuned")
    copy_folder(trained_once, folder)
    recipe = tiny_recipe(data_root, folder)
    search_threshold(recipe)
    export(recipe.run_folder, "0", folder / "weights" / "tiny")
    return folder


@pytest.fixture
def exported(trained, tuned_once, tmp_path) -> Path:
    """What was exported of `trained`: a copy, to use or to break."""
    copy_folder(tuned_once, tmp_path)
    return tmp_path / "weights" / "tiny"


@pytest.fixture
def draw(monkeypatch, capsys):
    """Call make_submission.py; returns what it says."""

    def draw(*words: object) -> str:
        monkeypatch.setattr(sys, "argv", ["make_submission", *map(str, words), "--device", "cpu"])
        make_submission.main()
        return capsys.readouterr().out

    return draw


def test_a_run_without_a_threshold_is_not_exported(trained, tmp_path):
    with pytest.raises(UserError, match="no threshold"):
        export(trained.run_folder, "0", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_was_not_written_here_is_not_replaced(exported, trained, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "notes.txt").write_text("kept")
    file = tmp_path / "file"
    file.write_text("kept")
    for other in (folder, file, exported.parent):
        with pytest.raises(UserError, match="not written here; choose another --out"):
            export(trained.run_folder, "0", other)
    assert (folder / "notes.txt").read_text() == file.read_text() == "kept"
    assert (exported / "model.safetensors").is_file()
    export(trained.run_folder, "0", exported)  # its own is


def test_what_was_added_to_an_export_is_not_deleted(exported, trained):
    (exported / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"notes.txt was not written here; move it away, or choose"):
        export(trained.run_folder, "0", exported)
    assert (exported / "notes.txt").read_text() == "mine"


def test_a_threshold_that_tells_no_score_is_not_exported(exported, trained, tmp_path):
    path = trained.run_folder / "threshold.json"
    tuned = json.loads(path.read_text())
    del tuned["f1_cross_fitted"]
    path.write_text(json.dumps(tuned))
    with pytest.raises(UserError, match=r"threshold.json: tells no f1_cross_fitted; run src/tune"):
        export(trained.run_folder, "0", tmp_path / "out")


def test_a_threshold_for_another_training_is_not_exported(tuned_once, tmp_path):
    copy_folder(tuned_once, tmp_path)
    (run,) = (tmp_path / "runs").iterdir()
    done = run / "fold-0" / "done.json"
    done.write_text(json.dumps(json.loads(done.read_text()) | {"identity": "trained anew"}))
    with pytest.raises(UserError, match=r"threshold\.json is of an earlier training"):
        export(run, "0", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_exported_weights_predict_alone_what_the_run_predicts(exported, trained):
    run = trained.run_folder
    alone, full = load_run(exported, [], CPU), load_run(run, ["0"], CPU)
    assert (alone.threshold, alone.postprocess) == (full.threshold, full.postprocess)
    half, whole = exported / "model.safetensors", run / "fold-0" / "model" / "model.safetensors"
    assert half.stat().st_size < 0.6 * whole.stat().st_size
    assert len({path.stat().st_mode for path in (*exported.iterdir(), whole)}) == 1  # all may read
    x = torch.rand(1, 1, 64, 64)
    with torch.inference_mode():
        expected = full.models[0].network(x)
        torch.testing.assert_close(alone.models[0].network(x), expected, atol=0.02, rtol=0.01)
        by_smp = CANet.from_pretrained(exported).eval()
        torch.testing.assert_close(by_smp(x), alone.models[0].network(x))


def test_an_export_tells_what_it_is_and_nothing_of_the_images(exported, trained):
    card = (exported / "README.md").read_text()
    config = json.loads((exported / "config.json").read_text())
    threshold = load_run(exported, [], CPU).threshold
    digest = sha256((exported / "model.safetensors").read_bytes()).hexdigest()
    assert digest in card and f"{threshold:.3f}" in card
    assert f"`{trained.input.kind}`, of the mask `{trained.input.mask}`" in card
    assert "write here whose they are" in card and "Pixel SkelNetOn" not in card
    assert config["_published"]["input"]["kind"] == trained.input.kind
    told = json.loads((exported / "training.json").read_text())
    assert not {"training_images", "known_images"} & told.keys()


def test_an_export_draws_a_folder_of_shapes(exported, trained, tmp_path, draw):
    shapes = DataSet.of(trained).test_shapes
    draw("--run", exported, "--images", shapes.path, "--out", tmp_path / "drawn")
    written = sorted((tmp_path / "drawn").glob("*.png"))
    assert [p.name for p in written] == shapes.names
    assert all(set(np.unique(read_grey(p))) <= {0, 255} for p in written)


def test_an_export_draws_large_shapes_at_the_size_that_it_was_trained_on(
    exported, trained, tmp_path, draw
):
    large = np.zeros((75, 125), np.uint8)
    large[10:65, 8:55] = large[25:35, 75:112] = 255
    write_png(tmp_path / "large" / "two.png", large)
    words = ["--run", exported, "--images", tmp_path / "large", "--out", tmp_path / "twice"]
    for switches, pieces in (["--components", "per_shape"], 2), (["--components", "one"], 1):
        said = draw(*words, *switches, "--force")
        assert f"larger shapes at {trained.data.size_px} px" in said
        assert ("two.png has 2 pieces, one of them is drawn" in said) == (pieces == 1)
        assert component_count(read_grey(tmp_path / "twice" / "two.png") > 0) == pieces
    assert json.loads((tmp_path / "twice.json").read_text())["longest_px"] == trained.data.size_px
    said = draw(*words, "--longest-px", "0")
    assert "skipped" not in said and "larger" not in said
    with pytest.raises(UserError, match="--longest-px 3: expected 32 or more, or 0"):
        draw(*words, "--longest-px", "3")
    with pytest.raises(UserError, match="is one model"):
        draw(*words, "--folds", "0")


def test_what_is_shipped_is_whole_small_and_good_on_shapes_it_has_not_seen(tmp_path, draw):
    home = REPOSITORY / "weights" / "canet_axis"
    weights = (home / "model.safetensors").read_bytes()
    assert len(weights) < 16e6 and sha256(weights).hexdigest() in (home / "README.md").read_text()
    made = [demo.example(seed=0, index=i) for i in range(4)]
    for name, shape, _ in made:
        write_png(tmp_path / "shapes" / name, shape)
    # not the nearest candidate, which a network that sees nothing would be given, too
    words = ["--images", tmp_path / "shapes", "--out", tmp_path / "drawn", "--join", "path"]
    draw("--run", home, *words)
    drawn = {name: read_grey(tmp_path / "drawn" / name) > 0 for name, *_ in made}
    scores = score_predictions(drawn, {name: label > 0 for name, _, label in made})
    figures = summarize(list(scores.values()))
    assert figures["f1"] > 0.95 and figures["one_component"] == 1


def test_what_macos_leaves_is_in_nobodys_way(exported, trained):
    (exported / ".DS_Store").touch()
    export(trained.run_folder, "0", exported)
    assert not (exported / ".DS_Store").exists()


def test_a_damaged_export_is_one_line(exported):
    config = json.loads((exported / "config.json").read_text())
    config["_published"]["threshold"] = "high"
    (exported / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="tells no threshold"):
        load_run(exported, [], CPU)
