import shutil
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from canet import submission
from canet.files import UserError, read_grey, write_png
from canet.postprocess import drop_islands, to_skeleton
from canet.prediction import from_view, pad_to, probabilities, to_view, views
from canet.recipe import Postprocess
from canet.scoring import score_predictions
from canet.submission import Submission, encode, find_zip_problems, read_submission


@pytest.fixture
def skeletons() -> dict[str, np.ndarray]:
    return {f"cat-{i}.png": np.eye(16, dtype=bool) for i in range(3)}


@pytest.fixture
def sizes(skeletons):
    return {name: s.shape for name, s in skeletons.items()}


def write_submission(skeletons, sizes, zip_path, facts):
    making = Submission(zip_path, "identity")
    for name, skeleton in skeletons.items():
        making.add(name, skeleton)
    making.finish(sizes, facts)
    return making.folder


def test_a_submission_is_flat_rgb_and_black_and_white(skeletons, sizes, tmp_path):
    folder = write_submission(skeletons, sizes, tmp_path / "s.zip", {"run": "x"})
    with zipfile.ZipFile(tmp_path / "s.zip") as archive:
        assert archive.namelist() == sorted(skeletons)
    image = cv2.imread(str(folder / "cat-0.png"), cv2.IMREAD_UNCHANGED)
    assert image.shape == (16, 16, 3) and set(np.unique(image)) == {0, 255}
    assert ((image[..., 0] > 0) == skeletons["cat-0.png"]).all()
    assert (tmp_path / "s.json").exists()


def test_equal_predictions_give_equal_zips(skeletons, sizes, tmp_path):
    for name in ("a", "b"):
        write_submission(skeletons, sizes, tmp_path / f"{name}.zip", {})
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


BAD = {
    "cat-3.png is missing": lambda s: None,
    "its shape": lambda s: s.update({"cat-0.png": np.eye(12, dtype=bool)}),
    "is empty": lambda s: s.update({"cat-0.png": np.zeros((16, 16), bool)}),
}


@pytest.mark.parametrize("message", BAD)
def test_an_invalid_submission_never_appears(skeletons, sizes, tmp_path, message):
    write_submission(skeletons, sizes, tmp_path / "s.zip", {})
    earlier = (tmp_path / "s.zip").read_bytes()
    BAD[message](skeletons)
    if "missing" in message:
        sizes["cat-3.png"] = (16, 16)
    with pytest.raises(UserError, match=message):
        write_submission(skeletons, sizes, tmp_path / "s.zip", {})
    assert (tmp_path / "s.zip").read_bytes() == earlier
    left = {"s", "s.json", "s.zip", ".s.stamp", ".s.identity.partial"}
    assert {p.name for p in tmp_path.iterdir()} == left
    assert len(list((tmp_path / ".s.identity.partial").iterdir())) == (
        3 if "missing" in message else 2
    )


def test_a_killed_prediction_continues_and_memory_is_bounded(tmp_path, monkeypatch):
    paths = [tmp_path / "shapes" / f"box-{i}.png" for i in range(7)]
    for i, path in enumerate(paths):
        shape = np.zeros((20, 20 + i), np.uint8)
        shape[5:15, 5:15] = 255
        write_png(path, shape)
    monkeypatch.setattr(submission, "CHUNK_PX", 1000)  # two of these
    groups: list[list[str]] = []

    def predict(some: list[Path]) -> dict[str, np.ndarray]:
        if len(groups) == 2 and "killed" not in finished:
            raise KeyboardInterrupt
        groups.append([p.name for p in some])
        return {p.name: read_grey(p) > 0 for p in some}

    finished: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        submission.submit(paths, predict, tmp_path / "s.zip", {"run": "x"})
    assert not (tmp_path / "s.zip").exists() and [len(g) for g in groups] == [2, 2]
    finished.append("killed")
    assert submission.submit(paths, predict, tmp_path / "s.zip", {"run": "x"})
    assert [len(g) for g in groups] == [2, 2, 2, 1]
    assert sorted(n for g in groups for n in g) == [p.name for p in paths]
    names = {p.name for p in tmp_path.iterdir()}
    assert names == {"shapes", "s", "s.zip", "s.json", "s.png", ".s.stamp", ".s.lock"}
    assert not submission.submit(paths, predict, tmp_path / "s.zip", {"run": "x"})
    assert submission.submit(paths, predict, tmp_path / "s.zip", {"run": "another"})
    assert len(groups) == 8


def test_a_picture_of_somebody_else_is_not_replaced(skeletons, sizes, tmp_path):
    (tmp_path / "s.png").write_bytes(b"a photo")
    with pytest.raises(UserError, match="choose another --out"):
        write_submission(skeletons, sizes, tmp_path / "s.zip", {})
    assert [p.name for p in tmp_path.iterdir()] == ["s.png"]


def test_one_large_shape_is_a_chunk_of_its_own():
    paths = [Path(n) for n in "abcd"]
    sizes = {"a": (256, 256), "b": (4096, 4096), "c": (256, 256), "d": (256, 256)}
    assert [[p.name for p in c] for c in submission.chunks(paths, sizes)] == [
        ["a"],
        ["b"],
        ["c", "d"],
    ]


def test_nested_and_grey_zips_are_found(tmp_path, sizes):
    nested, grey = tmp_path / "nested.zip", tmp_path / "grey.zip"
    with zipfile.ZipFile(nested, "w") as archive:
        archive.writestr("folder/cat-0.png", encode(np.eye(16, dtype=bool)))
    with zipfile.ZipFile(grey, "w") as archive:
        for name in sizes:
            image = np.full((16, 16), 100, np.uint8)
            archive.writestr(name, cv2.imencode(".png", image)[1].tobytes())
    assert "flat zip" in find_zip_problems(nested, sizes)["nested.zip"]
    assert "other than 0 and 255" in find_zip_problems(grey, sizes)["cat-0.png"]
    del sizes["cat-0.png"]
    assert find_zip_problems(grey, sizes)["cat-0.png"] == "cat-0.png belongs to no shape"


def test_somebodys_folder_is_not_replaced(skeletons, sizes, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "holiday.png").write_bytes(b"x")
    with pytest.raises(UserError, match="not written here"):
        write_submission(skeletons, sizes, tmp_path / "mine.zip", {})
    assert (tmp_path / "mine" / "holiday.png").exists()


def test_reading_a_folder_or_its_zip_is_the_same(skeletons, sizes, tmp_path):
    folder = write_submission(skeletons, sizes, tmp_path / "s.zip", {})
    from_zip, from_folder = read_submission(tmp_path / "s.zip"), read_submission(folder)
    assert from_zip.keys() == from_folder.keys()
    assert all((from_zip[n] == from_folder[n]).all() for n in from_zip)
    (tmp_path / "bad.zip").write_bytes(b"PK??")
    with pytest.raises(UserError, match="not a readable zip"):
        read_submission(tmp_path / "bad.zip")
    shutil.rmtree(folder)
    with pytest.raises(UserError, match="no such file"):
        read_submission(folder)


def test_scoring_refuses_what_the_challenge_scores_zero(skeletons):
    scores = score_predictions(skeletons, skeletons)
    assert all(s.f1 == 1 for s in scores.values())
    some = dict(list(skeletons.items())[1:])
    with pytest.raises(UserError, match=r"predictions missing: 1 \(cat-0\.png\)"):
        score_predictions(some, skeletons)
    small = {n: s[:8] for n, s in skeletons.items()}
    with pytest.raises(UserError, match="would score 0"):
        score_predictions(small, skeletons)


# ---- from probabilities to a skeleton ----


def test_islands_are_dropped_but_never_all():
    skeleton = np.zeros((20, 20), bool)
    skeleton[10, 2:12] = True
    skeleton[2, 2:4] = True
    assert drop_islands(skeleton, 5).sum() == 10
    assert drop_islands(skeleton, 50).sum() == 10
    assert drop_islands(skeleton, 2).sum() == 12


def test_switches_and_the_empty_prediction():
    levels = np.zeros((20, 20), np.uint8)
    levels[8:11, 2:18] = 200
    levels[0, 0] = 255
    mask = np.zeros((20, 20), bool)
    mask[5:15, 1:19] = True
    inside = to_skeleton(levels, 0.5, mask, Postprocess())
    assert inside.sum() == 48 and not inside[0, 0]
    assert to_skeleton(levels, 0.5, mask, Postprocess(inside_shape=False))[0, 0]
    thin = to_skeleton(levels, 0.5, mask, Postprocess(thin=True))
    assert 0 < thin.sum() <= 16
    levels[9, 9] = 201
    nothing = to_skeleton(levels, 0.99, mask, Postprocess())
    assert nothing.sum() == 1 and nothing[9, 9]


def test_views_are_undone():
    import torch

    x = torch.arange(2 * 3 * 4 * 4).reshape(2, 3, 4, 4)
    moved = [to_view(x, t, f) for t, f in views(True)]
    assert len({m.numpy().tobytes() for m in moved}) == 8
    assert all(torch.equal(from_view(m, t, f), x) for m, (t, f) in zip(moved, views(True)))


def test_averaging_over_views_and_models():
    import torch

    class Where(torch.nn.Module):
        """Logit 2 in the upper left corner, whatever the input."""

        def forward(self, x):
            out = torch.full_like(x, -30.0)
            out[..., 0, 0] = 2.0
            return out

    x, certain = torch.zeros(1, 1, 4, 4), torch.tensor(2.0).sigmoid().item()
    plain = probabilities([Where()], x, "float32")
    assert plain[0, 0, 0, 0].item() == pytest.approx(certain) and plain.sum() < 1
    turned = probabilities([Where(), Where()], x, "float32", tta=True)
    corners = turned[0, 0, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert corners.tolist() == pytest.approx([certain / 4] * 4)


def test_padding_to_the_stride():
    assert pad_to(np.ones((1, 1, 20, 32)), 16).shape == (1, 1, 32, 32)
    assert pad_to(np.ones((1, 1, 20, 32)), 16).sum() == 20 * 32
