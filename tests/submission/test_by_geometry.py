"""Skeletons by a stored forest, and what comes with the repository."""

import numpy as np
import pytest
from scripts import run_script

from canet.core.console import REPOSITORY, UserError
from canet.core.files import read_json
from canet.core.images import read_grey, write_png
from canet.data.data_set import ImageFolder
from canet.data.demo import example
from canet.geometry.candidates import CANDIDATES, ShapeGeometry
from canet.geometry.metrics import component_count
from canet.selection import forest
from canet.selection.features import features_of
from canet.submission.by_geometry import choose_skeletons, geometry_predictor
from canet.submission.read import read_submission

SHIPPED = REPOSITORY / "weights" / "geometry"
REAL_SHAPES = REPOSITORY / "input" / "pixel-skelneton" / "img_test_shape"


@pytest.fixture(scope="module")
def selector():
    return forest.load(SHIPPED)[0]


def two_pieces() -> np.ndarray:
    shape = np.zeros((300, 500), np.uint8)
    shape[40:260, 30:220] = shape[100:140, 300:450] = 255
    return shape


def test_each_piece_of_a_shape_gets_a_skeleton(selector):
    two, one = two_pieces(), np.zeros((64, 80), np.uint8)
    one[20:40, 10:70] = 255
    found = choose_skeletons(selector, {"two.png": two, "one.png": one})
    assert component_count(found["two.png"]) == 2 and not (found["two.png"] & (two == 0)).any()
    assert component_count(found["one.png"]) == 1
    left = np.where(np.arange(500) < 250, two, 0)
    alone = choose_skeletons(selector, {"left.png": left.astype(np.uint8)})
    assert (found["two.png"][:, :250] == alone["left.png"][:, :250]).all()
    assert choose_skeletons(selector, {}) == {}


def test_of_very_many_pieces_each_gets_one_at_once(selector, monkeypatch):
    dust = np.zeros((256, 256), np.uint8)
    for top in range(8, 240, 20):
        for left in range(8, 240, 20):
            dust[top : top + 9, left : left + 5] = 255
    asked = []
    monkeypatch.setattr(forest, "predict", lambda s, shapes: (asked.append(shapes), {})[1])
    found = choose_skeletons(selector, {"dust.png": dust})
    assert component_count(found["dust.png"]) == 144 and asked == []
    choose_skeletons(selector, {"some.png": np.where(np.arange(256) < 120, dust, 0)})
    assert len(asked) == 72


def test_what_is_shipped_draws_one_piece_in_each_shape(data_root):
    predictor = geometry_predictor(SHIPPED, SHIPPED)
    assert predictor.said.startswith("   geometry: 5 candidates, chosen by a forest (F1 0.9"[3:])
    assert predictor.facts.keys() >= {"run", "commit", "code", "selection", "recipe", "versions"}
    folder = ImageFolder(data_root / "img_test_shape")
    shapes = {name: folder.read(name) for name in folder.names}
    drawn = predictor.predict(shapes)
    assert drawn.keys() == shapes.keys()
    assert all(component_count(s) == 1 for s in drawn.values())


@pytest.mark.skipif(not REAL_SHAPES.is_dir(), reason="the data set is not in input/")
def test_what_is_shipped_draws_the_submission_that_is_shipped(selector):
    folder = ImageFolder(REAL_SHAPES)
    shapes = {name: folder.read(name) for name in folder.names[::30]}
    submitted = read_submission(REPOSITORY / "submissions" / "test_geometry.zip")
    for name, drawn in choose_skeletons(selector, shapes).items():
        assert np.array_equal(drawn, submitted[name] > 0), name


# Of generated shapes: all features in one number, how many trees are for each candidate.
CHOICES = {0: (46726.06895836, [178, 22, 0, 0, 0]), 3: (43543.384945003, [2, 197, 1, 0, 0])}


@pytest.mark.parametrize("number", CHOICES)
def test_features_and_choices_stay_as_they_are(selector, number):
    geometry = ShapeGeometry(example(0, number)[1])
    found = features_of(geometry)
    values = np.abs([found[name] for name in sorted(found)])
    in_one, chosen = CHOICES[number]
    assert np.log1p(values) @ np.arange(1, len(values) + 1) == pytest.approx(in_one, rel=1e-9)
    trees = len(selector.trees.roots) * selector.probabilities([found])[0]
    assert trees.tolist() == pytest.approx(chosen, abs=2)
    drawn = choose_skeletons(selector, {"a": geometry.shape})["a"]
    assert np.array_equal(drawn, geometry.drawing(CANDIDATES[np.argmax(chosen)]))


def test_options_of_networks_are_refused():
    with pytest.raises(UserError, match=r"--spur-px is for networks; weights/geometry is geom"):
        geometry_predictor(SHIPPED, SHIPPED, given=["spur_px"])


def test_the_script_draws_large_shapes_of_several_pieces(tmp_path):
    write_png(tmp_path / "large" / "two.png", two_pieces())
    words = ("--run", SHIPPED, "--images", tmp_path / "large", "--out", tmp_path / "mine")
    done = run_script("make_submission", *words)
    assert done.code == 0 and "larger shapes at 256 px" in done.stdout, done.stderr
    drawn = read_grey(tmp_path / "mine" / "two.png") > 0
    assert component_count(drawn) == 2 and not (drawn & (two_pieces() == 0)).any()
    manifest = read_json(tmp_path / "mine.json")
    assert manifest["selection"]["sha256"] == read_json(SHIPPED / forest.CONFIG)["sha256"]
    assert manifest["longest_px"] == 256 and "machine" not in manifest["recipe"]
