"""What is done with a network on a GPU beside training it, and the whole pipeline."""

import json

import torch
from scripts import run_script

from canet.benchmarks import training as benchmark
from canet.core.recipe_files import load

STAGES = ["train", "tune_threshold", "make_submission", "report"]
FROM_NOTHING = ["make_demo_data", "check_input", "make_folds", "make_distance_maps", "tune_loss"]


def test_search_training_prediction_and_export(settings, tiny_folds, tmp_path):
    own = ["--recipe", "demo", "--set", *settings]
    for stage in ["tune_loss", *STAGES]:
        done = run_script(stage, *own)
        assert done.code == 0, f"{stage}: {done.stderr}"
    out, shapes = tmp_path / "weights", load("demo", settings).data_root / "img_test_shape"
    exported = run_script(
        "export_weights", "--run", tmp_path / "runs" / "tiny", "--fold", 0, "--out", out
    )
    assert exported.code == 0, exported.stderr
    words = ["--run", out, "--images", shapes, "--out", tmp_path / "skeletons"]
    done = run_script("make_submission", *words)
    assert done.code == 0, done.stderr
    manifest = json.loads((tmp_path / "skeletons.json").read_text())
    assert manifest["device"] == torch.cuda.get_device_name(0)


def test_the_demo_from_shapes_to_the_report(tmp_path):
    own = [f"machine.{name}={tmp_path / name}" for name in ("cache", "runs", "submissions")]
    own += [f"data.root={tmp_path / 'shapes'}", f"data.folds={tmp_path / 'folds'}"]
    own += ["demo.train=30", "demo.test=3", "train.epochs=1", "loss_search.trials=1"]
    own += ["loss_search.epochs=1", "threshold_search.trials=3", "name=small"]
    said = {}
    for stage in [*FROM_NOTHING, *STAGES]:
        done = run_script(stage, "--recipe", "demo", "--set", *own)
        assert done.code == 0, f"{stage}: {done.stderr}"
        said[stage] = done.stdout
    assert torch.cuda.get_device_name(0) in said["train"]
    assert (tmp_path / "submissions" / "small.zip").exists()


def test_the_speed_ladder(on_gpu, monkeypatch, capsys):
    """All rows but those that change a number alone: each is compiled anew.

    At one scale: the loss at three more would take another quarter of the time to compile.
    """
    wanted = [row for row in benchmark.CHANGES if not row.startswith("batch")]
    monkeypatch.setattr(benchmark, "ENOUGH_S", 0.0)
    monkeypatch.setattr(benchmark, "IMAGES", 64)
    # what is compiled several times to take the fastest
    monkeypatch.setattr("torch._inductor.config.triton.autotune_pointwise", False)
    loss = on_gpu.loss.model_copy(update={"scale_weights": [1.0]})
    recipe = on_gpu.model_copy(update={"loss": loss})
    benchmark.benchmark_training(recipe, rows=wanted, device_name="cuda")
    said = capsys.readouterr().out
    rows = [line.split()[0] for line in said.splitlines() if "images/s" in line]
    assert rows == wanted, said
