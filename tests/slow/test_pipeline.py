"""Whole pipelines, and commands over what they have left."""

import json
import zipfile

import numpy as np
from commands import run
from scripts import run_script

from canet.core.files import write_text
from canet.core.images import read_grey, write_png
from canet.geometry.metrics import component_count

NETWORKS_NEED = ("torch", "torchvision", "timm", "segmentation_models_pytorch", "albumentations")
NETWORKS_NEED += ("safetensors", "tensorboard", "psycopg")
GEOMETRY_STAGES = ["check_input", "make_folds", "train_geometry", "make_submission", "report"]
NETWORK_STAGES = ["make_folds", "train", "tune_threshold", "make_submission", "summarize", "report"]


def finish(script: str, *words: object) -> str:
    """What a script says that has to succeed."""
    done = run_script(script, *words)
    assert done.code == 0, done.stderr
    return done.stdout


def test_any_folder_of_any_sizes_and_all_images(overrides, tmp_path):
    """Fold `all` alone: no threshold to tune; then shapes that are not square."""
    own = ["--recipe", "demo", "--set", *overrides, "train.folds=[all]", "train.epochs=1"]
    said = {stage: finish(stage, *own) for stage in NETWORK_STAGES}
    assert "15 images, 0 held out" in said["train"]
    assert "none held out: nothing to choose a threshold on" in said["tune_threshold"]
    assert "unknown: no image was held out" in said["summarize"]
    images, out = tmp_path / "images", tmp_path / "out"
    sizes = {"box-0.PNG": (40, 60), "box-1.PNG": (100, 33), "box-2.PNG": (40, 60)}
    for name, size in sizes.items():
        shape = np.zeros(size, np.uint8)
        shape[5:-5, 5:-5] = 255
        write_png(images / name, shape)
    words = ["--run", tmp_path / "runs" / "tiny", "--images", images, "--out", out]
    finish("make_submission", *words)
    assert {p.name: read_grey(p).shape for p in out.iterdir()} == sizes
    manifest = json.loads((tmp_path / "out.json").read_text())
    assert manifest["postprocess"]["components"] == "any"
    (out / "box-0.PNG").unlink()
    assert "skipped" not in finish("make_submission", *words) and (out / "box-0.PNG").exists()
    one = ["--components", "one", "--join", "path", "--spur-px", "3", "--spur-radii", "0.5"]
    joined = finish("make_submission", *words, *one)
    assert "one piece, joined by paths, spurs under 3 px trimmed" in joined
    switches = json.loads((tmp_path / "out.json").read_text())["postprocess"]
    assert switches["components"] == "one" and switches["spur_radii"] == 0.5
    assert all(component_count(read_grey(p) > 0) == 1 for p in out.iterdir())
    failed = run_script("make_submission", *words[:2], "--spur-px", "-1")
    assert failed.code == 1 and "--spur-px -1: expected 0 or more" in failed.stderr


def test_geometry_from_data_to_submission(data_root, overrides, tmp_path, monkeypatch):
    own = [*overrides, "selection.trees=10", "selection.trials=2"]
    hook = f"import sys; sys.modules.update(dict.fromkeys({NETWORKS_NEED}))\n"
    write_text(tmp_path / "hook" / "sitecustomize.py", hook)  # as where they are not installed
    with monkeypatch.context() as without:
        without.setenv("PYTHONPATH", str(tmp_path / "hook"))
        done = run("bash", "run.sh", "geometry", *own)
    for line in ("PNGs", "zip", "pictures", "study", "F1", "thinning", "open"):
        assert f"\n   {line} " in done.stdout
    zip_path = tmp_path / "submissions" / "tiny.zip"
    with zipfile.ZipFile(zip_path) as archive:
        assert len(archive.namelist()) == 3
    content, written = zip_path.read_bytes(), zip_path.stat().st_mtime_ns
    again = {s: finish(s, "--recipe", "geometry", "--set", *own) for s in GEOMETRY_STAGES}
    assert {s for s, said in again.items() if "skipped" in said} == {
        "check_input",
        "train_geometry",
        "make_submission",
    }
    assert zip_path.stat().st_mtime_ns == written and zip_path.read_bytes() == content
    manifest = json.loads(zip_path.with_suffix(".json").read_text())
    assert manifest.keys() >= {"selection", "recipe", "commit", "versions", "images"}
    shapes, out = str(data_root / "img_test_shape"), str(tmp_path / "again")
    home = str(tmp_path / "runs" / "tiny")
    words = ("--run", home, "--images", shapes, "--out", out)
    assert "geometry: 5 candidates" in finish("make_submission", *words)
    for path in (tmp_path / "submissions" / "tiny").iterdir():
        assert (read_grey(path) == read_grey(tmp_path / "again" / path.name)).all()
    refused = run_script("make_submission", *words, "--tta")
    assert refused.code == 1 and "--tta is for networks" in refused.stderr


def test_run_sh_tells_tables_from_overrides():
    failed = run(
        "bash", "run.sh", "tables", "table4", "train.epoch=3", "--minutes", "0", check=False
    )
    assert failed.returncode == 1 and "did you mean train.epochs?" in failed.stderr
    assert "no table table9" in run("bash", "run.sh", "tables", "table9", check=False).stderr
