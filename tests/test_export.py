import json
from hashlib import sha256

import numpy as np
import pytest
import torch
from scripts import run_script

from canet import demo
from canet.dataset import ImageFolders
from canet.export import export
from canet.files import REPOSITORY, UserError, read_grey, write_png
from canet.metrics import component_count, summarize
from canet.network import CANet
from canet.runs import load_run
from canet.scoring import score_predictions
from canet.threshold_search import search_threshold
from canet.training import train_fold

CPU = torch.device("cpu")


@pytest.fixture
def run(tiny, tiny_folds):
    train_fold(tiny, 0)
    with pytest.raises(UserError, match="no threshold"):
        export(tiny.run_folder, "0", tiny.run_folder / "out")
    search_threshold(tiny)
    return tiny.run_folder


def test_exported_weights_predict_alone_what_the_run_predicts(run, tiny, tmp_path):
    out = tmp_path / "weights" / "tiny"
    export(run, "0", out)
    alone, full = load_run(out, [], CPU), load_run(run, ["0"], CPU)
    assert (alone.threshold, alone.postprocess) == (full.threshold, full.postprocess)
    half, whole = out / "model.safetensors", run / "fold-0" / "model" / "model.safetensors"
    assert half.stat().st_size < 0.6 * whole.stat().st_size
    assert len({path.stat().st_mode for path in (*out.iterdir(), whole)}) == 1  # all may read
    x = torch.rand(1, 1, 64, 64)
    with torch.inference_mode():
        expected = full.models[0].network(x)
        torch.testing.assert_close(alone.models[0].network(x), expected, atol=0.02, rtol=0.01)
        by_smp = CANet.from_pretrained(out).eval()
        torch.testing.assert_close(by_smp(x), alone.models[0].network(x))
    card, config = (out / "README.md").read_text(), json.loads((out / "config.json").read_text())
    assert sha256(half.read_bytes()).hexdigest() in card and f"{full.threshold:.3f}" in card
    assert f"`{tiny.input.kind}`, of the mask `{tiny.input.mask}`" in card
    assert "write here whose they are" in card and "Pixel SkelNetOn" not in card
    assert config["_published"]["input"]["kind"] == tiny.input.kind
    told = json.loads((out / "training.json").read_text())
    assert not {"training_images", "known_images"} & told.keys()

    shapes = ImageFolders(tiny.data_root, tiny.data).test_shapes
    words = ["--run", out, "--images", shapes, "--out", tmp_path / "drawn"]
    done = run_script("make_submission", *words, "--device", "cpu")
    assert done.code == 0, done.stderr
    written = sorted((tmp_path / "drawn").glob("*.png"))
    assert [p.name for p in written] == sorted(p.name for p in shapes.glob("*.png"))
    assert all(set(np.unique(read_grey(p))) <= {0, 255} for p in written)
    large = np.zeros((300, 500), np.uint8)
    large[40:260, 30:220] = large[100:140, 300:450] = 255
    write_png(tmp_path / "large" / "two.png", large)
    words[3], words[5] = tmp_path / "large", tmp_path / "twice"
    for switches, pieces in (["--components", "per_shape"], 2), (["--components", "one"], 1):
        done = run_script("make_submission", *words, *switches, "--force")
        assert done.code == 0 and f"larger shapes at {tiny.data.size_px} px" in done.stdout
        assert ("two.png has 2 pieces, one of them is drawn" in done.stdout) == (pieces == 1)
        assert component_count(read_grey(tmp_path / "twice" / "two.png") > 0) == pieces
    assert json.loads((tmp_path / "twice.json").read_text())["longest_px"] == tiny.data.size_px
    done = run_script("make_submission", *words, "--longest-px", "0")
    assert done.code == 0 and "skipped" not in done.stdout and "larger" not in done.stdout
    done = run_script("make_submission", *words, "--longest-px", "3")
    assert done.code == 1 and "--longest-px 3: expected 32 or more, or 0" in done.stderr
    done = run_script("make_submission", *words, "--folds", "0")
    assert done.code == 1 and "is one model" in done.stderr


def test_what_is_shipped_is_whole_small_and_good_on_shapes_it_has_not_seen(tmp_path):
    home = REPOSITORY / "weights" / "compact"
    weights = (home / "model.safetensors").read_bytes()
    assert len(weights) < 16e6 and sha256(weights).hexdigest() in (home / "README.md").read_text()
    made = [demo.example(seed=0, index=i) for i in range(4)]
    for name, shape, _ in made:
        write_png(tmp_path / "shapes" / name, shape)
    words = ["--run", home, "--images", tmp_path / "shapes", "--device", "cpu"]
    done = run_script("make_submission", *words, "--out", tmp_path / "drawn")
    assert done.code == 0, done.stderr
    drawn = {name: read_grey(tmp_path / "drawn" / name) > 0 for name, *_ in made}
    scores = score_predictions(drawn, {name: label > 0 for name, _, label in made})
    figures = summarize(list(scores.values()))
    assert figures["f1_within_1px"] > 0.95 and figures["one_component"] == 1


def test_a_damaged_export_is_one_line(run, tmp_path):
    out = tmp_path / "weights"
    export(run, "0", out)
    config = json.loads((out / "config.json").read_text())
    config["_published"]["threshold"] = "high"
    (out / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="tells no threshold"):
        load_run(out, [], CPU)
