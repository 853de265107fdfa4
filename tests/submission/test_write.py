"""Writing a submission: in pieces, checked before it appears, nobody's files replaced."""

import shutil
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from canet.core.console import REPOSITORY, UserError
from canet.core.files import read_json, sha256
from canet.core.images import read_grey, write_png
from canet.submission import write as submission
from canet.submission.write import Submission, chunks, submit


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
    making.finish(sizes, {"images": {}} | facts)
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
        submit(paths, predict, tmp_path / "s.zip", facts={"run": "x"})
    assert not (tmp_path / "s.zip").exists() and [len(g) for g in groups] == [2, 2]
    finished.append("killed")
    assert submit(paths, predict, tmp_path / "s.zip", facts={"run": "x"})
    assert [len(g) for g in groups] == [2, 2, 2, 1]
    assert sorted(n for g in groups for n in g) == [p.name for p in paths]
    names = {p.name for p in tmp_path.iterdir()}
    assert names == {"shapes", "s", "s.zip", "s.json", "s.png", ".s.stamp", ".s.lock"}
    assert not submit(paths, predict, tmp_path / "s.zip", facts={"run": "x"})
    assert submit(paths, predict, tmp_path / "s.zip", facts={"run": "another"})
    assert len(groups) == 8


@pytest.mark.parametrize("name", ["s.png", "s.zip", "s.json", "s"])
def test_a_file_of_somebody_else_is_not_replaced(skeletons, sizes, tmp_path, name):
    (tmp_path / name).write_bytes(b'{"labels": []}')
    with pytest.raises(UserError, match="not written here; choose another --out"):
        write_submission(skeletons, sizes, tmp_path / "s.zip", {})
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_shapes_are_not_replaced_by_their_skeletons(tmp_path):
    path = tmp_path / "s" / "x.png"
    write_png(path, np.full((8, 8), 255, np.uint8))
    (tmp_path / "s.json").write_text('{"images": {}}')  # they are what was submitted before
    with pytest.raises(UserError, match="s: holds the shapes; choose another --out"):
        submit([path], lambda some: {}, tmp_path / "s.zip", facts={})
    assert read_grey(path).all()


def test_skeletons_do_not_lie_among_their_shapes(tmp_path):
    path = tmp_path / "shapes" / "x.png"
    write_png(path, np.full((8, 8), 255, np.uint8))
    with pytest.raises(UserError, match=r"s\.zip: would lie among the shapes; choose another"):
        submit([path], lambda some: {}, path.with_name("s.zip"), facts={})
    assert [p.name for p in path.parent.iterdir()] == ["x.png"]


def test_what_was_put_into_a_folder_of_skeletons_is_not_lost(skeletons, sizes, tmp_path):
    folder = write_submission(skeletons, sizes, tmp_path / "s.zip", {})
    (folder / ".DS_Store").write_text("left by a file browser")
    write_submission(skeletons, sizes, tmp_path / "s.zip", {})
    for name in ("shapes/x.png", "notes.txt"):
        other = folder / name
        write_png(other, np.full((8, 8), 255, np.uint8))
        mine = other.relative_to(folder).parts[0]
        with pytest.raises(UserError, match=f"s: holds files not written here, such as {mine}"):
            write_submission(skeletons, sizes, tmp_path / "s.zip", {})
        assert other.is_file() and (folder / "cat-0.png").is_file()
        shutil.rmtree(folder / "shapes", ignore_errors=True)


def test_what_waits_of_another_submission_stays(skeletons, sizes, tmp_path):
    for name, stays in (("s.more", True), ("s", False)):
        waiting = Submission(tmp_path / f"{name}.zip", "0123456789abcdef")
        waiting.add("cat-0.png", skeletons["cat-0.png"])
        write_submission(skeletons, sizes, tmp_path / "s.zip", {})
        assert waiting.waiting.is_dir() == stays


def test_one_large_shape_is_a_chunk_of_its_own():
    paths = [Path(n) for n in "abcd"]
    sizes = {"a": (256, 256), "b": (4096, 4096), "c": (256, 256), "d": (256, 256)}
    assert [[p.name for p in c] for c in chunks(paths, sizes)] == [
        ["a"],
        ["b"],
        ["c", "d"],
    ]


def test_somebodys_folder_is_not_replaced(skeletons, sizes, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "holiday.png").write_bytes(b"x")
    (tmp_path / "mine.json").write_text('{"annotations": []}')
    with pytest.raises(UserError, match="not written here"):
        write_submission(skeletons, sizes, tmp_path / "mine.zip", {})
    assert (tmp_path / "mine" / "holiday.png").exists()


def test_all_is_made_again_by_force_and_where_a_file_is_missing(skeletons, tmp_path):
    paths, calls = [], []
    for name, skeleton in skeletons.items():
        paths.append(tmp_path / "shapes" / name)
        write_png(paths[-1], skeleton * np.uint8(255))

    def predict(some: list[Path]) -> dict[str, np.ndarray]:
        calls.append(len(some))
        return {p.name: read_grey(p) > 0 for p in some}

    def make(**options) -> bool:
        return submit(paths, predict, tmp_path / "s.zip", facts={"run": "x"}, **options)

    assert make() and not make() and make(force=True) and calls == [3, 3]
    (tmp_path / "s" / "cat-1.png").unlink()
    assert make() and not make() and calls == [3, 3, 3]
    manifest = read_json(tmp_path / "s.json", images=dict, run=str)
    assert manifest["images"]["count"] == 3 and manifest["images"]["folder"] == "shapes"
    write_png(paths[0], np.full((16, 16), 255, np.uint8))
    assert make() and calls[-1] == 3  # of other shapes
    assert read_json(tmp_path / "s.json")["images"]["sha256"] != manifest["images"]["sha256"]


def test_only_one_process_writes_a_submission(tmp_path):
    path = tmp_path / "shapes" / "x.png"
    write_png(path, np.full((8, 8), 255, np.uint8))

    def predict(some: list[Path]) -> dict[str, np.ndarray]:
        with pytest.raises(UserError, match=r"s\.zip is being written by .*; wait for it"):
            submit([path], predict, tmp_path / "s.zip", facts={})
        return {"x.png": np.ones((8, 8), bool)}

    assert submit([path], predict, tmp_path / "s.zip", facts={})


@pytest.mark.parametrize(
    ("name", "weights", "pictures"),
    [
        ("holdout_canet_axis", "canet_axis/model.safetensors", 244),
        ("holdout_geometry", "geometry/forest.npz", 244),
        ("test_canet_axis", "canet_axis/model.safetensors", 241),
        ("test_geometry", "geometry/forest.npz", 241),
    ],
)
def test_shipped_submissions_are_of_the_weights_that_are_shipped(name, weights, pictures):
    folder = REPOSITORY / "submissions"
    with zipfile.ZipFile(folder / f"{name}.zip") as archive:
        assert len(archive.namelist()) == pictures
    manifest = read_json(folder / f"{name}.json", run=str, commit=str)
    (made_by,) = manifest.get("checkpoints") or [manifest["selection"]]
    assert made_by["sha256"] == sha256((REPOSITORY / "weights" / weights).read_bytes()).hex()
    assert weights.startswith(f"{manifest['run']}/") and not manifest["commit"].endswith("+")
