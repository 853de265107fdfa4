"""Whole pipelines, and commands over what they have left."""

import json
import zipfile

import numpy as np
from commands import run, script

from canet.core.images import read_grey, write_png
from canet.geometry.metrics import component_count


def test_a_demo_is_skipped_when_current_and_scored_as_it_says(overrides, tmp_path):
    own = [o for o in overrides if not o.startswith(("data.root", "data.size_px", "demo."))]
    own += [f"data.root={tmp_path / 'made'}", "demo.train=12", "demo.test=2"]
    first = run("bash", "run.sh", "demo", *own)
    told = next(li for li in first.stdout.splitlines() if li.startswith("   test F1 "))
    zip_path = tmp_path / "submissions" / "tiny.zip"
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


def test_geometry_from_data_to_submission(data_root, overrides, tmp_path):
    own = [*overrides, "selection.trees=10", "selection.trials=2"]
    done = run("bash", "run.sh", "geometry", *own)
    for line in ("PNGs", "zip", "pictures", "study", "F1", "thinning", "open"):
        assert f"\n   {line} " in done.stdout
    zip_path = tmp_path / "submissions" / "tiny.zip"
    with zipfile.ZipFile(zip_path) as archive:
        assert len(archive.namelist()) == 3
    manifest = json.loads(zip_path.with_suffix(".json").read_text())
    assert manifest.keys() >= {"selection", "recipe", "commit", "versions", "images"}
    shapes, out = str(data_root / "img_test_shape"), str(tmp_path / "again")
    home = str(tmp_path / "runs" / "tiny")
    words = ("--run", home, "--images", shapes, "--out", out)
    again = script("make_submission", *words, check=True)
    assert "geometry: 5 candidates" in again.stdout
    for path in (tmp_path / "submissions" / "tiny").iterdir():
        assert (read_grey(path) == read_grey(tmp_path / "again" / path.name)).all()
    refused = script("make_submission", *words, "--tta")
    assert refused.returncode == 1 and "--tta is for networks" in refused.stderr


def test_run_sh_tells_tables_from_overrides():
    failed = run(
        "bash", "run.sh", "tables", "table4", "train.epoch=3", "--minutes", "0", check=False
    )
    assert failed.returncode == 1 and "did you mean train.epochs?" in failed.stderr
    assert "no table table9" in run("bash", "run.sh", "tables", "table9", check=False).stderr
