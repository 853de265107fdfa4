"""One demo from nothing to a scored submission and a report, by `run.sh`."""

import json
import zipfile

from commands import run
from scripts import run_script


def test_demo_from_nothing_to_a_scored_submission(overrides, tmp_path):
    own = [o for o in overrides if not o.startswith(("data.root", "data.size_px", "demo."))]
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
    labels, shapes = tmp_path / "made/img_test2", tmp_path / "made/img_test_shape"
    scored = run_script("score", zip_path, labels, "--shapes", shapes).stdout
    own_f1 = scored.splitlines()[1].split()
    assert told.split()[2] in own_f1  # "test F1 0.1234 by this run"
    assert "zhang_suen" in scored and "one_component" in scored
    out = tmp_path / "thin"
    assert run_script("baseline", "zhang_suen", "--images", shapes, "--out", out).code == 0
    by_hand = run_script("score", f"{out}.zip", labels).stdout.splitlines()[1].split()
    in_table = next(li for li in scored.splitlines() if "zhang_suen" in li).split()
    assert by_hand[1:] == in_table[1:]
