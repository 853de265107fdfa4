"""Candidates, features, the forest that chooses, and the recipe that has nothing else."""

import json
import zipfile

import cv2
import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.preprocessing import FunctionTransformer
from test_pipeline import run, script

from canet.files import UserError, read_grey, sha256_of, write_json, write_png
from canet.geometry import compact_skeleton, selection
from canet.geometry.candidates import (
    CANDIDATES,
    PLAIN,
    ShapeGeometry,
    label_mask,
    plain_skeleton,
)
from canet.geometry.features import features_of
from canet.geometry.series import Series
from canet.metrics import component_count, f1_score
from canet.recipe import Selection, load
from canet.selection_training import healed, load_examples, out_of_fold, train_selection


def blob(seed: int, noisy: bool) -> np.ndarray:
    """A smooth or a ragged shape, (96, 96) uint8."""
    rng = np.random.default_rng(seed)
    size = rng.uniform(18, 32, 2)
    image = np.zeros((96, 96), np.uint8)
    cv2.ellipse(image, ((48, 48), tuple(2 * size), float(rng.uniform(0, 180))), 255, -1)
    if noisy:
        ragged = cv2.GaussianBlur(rng.normal(size=image.shape), (0, 0), 1.2)
        ring = cv2.dilate(image, np.ones((5, 5))) > cv2.erode(image, np.ones((5, 5)))
        image[ring] = np.where(ragged[ring] > 0, 255, 0)
    return image


@pytest.fixture(scope="module")
def learned():
    """Smooth shapes labelled at the smallest tolerance, ragged ones at the largest."""
    shapes = {f"{'ragged' if i % 2 else 'smooth'}-{i}.png": blob(i, i % 2 == 1) for i in range(40)}
    geometries = {n: ShapeGeometry(s) for n, s in shapes.items()}
    label = {n: geometries[n].drawings[2 if n.startswith("ragged") else 0] for n in shapes}
    f1 = np.array([[f1_score(d, label[n]) for d in geometries[n].drawings] for n in shapes])
    table = selection.describe(list(geometries.values()))
    return shapes, label, f1, table


def test_the_faintest_grey_is_outside():
    shape = np.zeros((20, 20), np.uint8)
    shape[5:15, 5:15] = 1
    shape[6:14, 6:14] = 2
    assert label_mask(shape).sum() == 64
    assert ShapeGeometry(shape).masks["filled"].sum() == 100
    assert label_mask((shape > 0).astype(np.uint8)).sum() == 100  # a mask of 0 and 1


def test_candidates_are_the_compact_skeletons_of_their_masks():
    geometry = ShapeGeometry(blob(1, noisy=True))
    for candidate, drawing in zip(CANDIDATES, geometry.drawings):
        mask = geometry.masks[candidate.mask]
        again = compact_skeleton(mask, candidate.tolerance_px).draw(mask.shape)
        assert (drawing == again).all() and component_count(drawing) == 1
    assert (plain_skeleton(geometry.shape) == geometry.drawing(PLAIN)).all()


@pytest.mark.parametrize("kind", ["pixel", "line", "full", "touching", "faint"])
def test_features_are_the_same_numbers_for_any_shape(kind):
    shape = np.zeros((40, 56), np.uint8)
    if kind == "pixel":
        shape[7, 9] = 255
    elif kind == "line":
        shape[20, 5:50] = 255
    elif kind == "full":
        shape[:] = 255
    elif kind == "touching":
        shape[:10, :10] = shape[10:20, 10:20] = 200
    else:
        shape[4:30, 4:40] = 1
    found = features_of(ShapeGeometry(shape))
    assert list(found) == list(features_of(ShapeGeometry(blob(0, noisy=False))))
    assert np.isfinite(list(found.values())).all()


def test_the_forest_learns_which_candidate(learned):
    shapes, _, f1, table = learned
    names, train = np.array(list(shapes)), np.arange(len(shapes)) < 28
    chosen = selection.fit(table[train], names[train], f1[train], Selection(trees=50))
    likely = chosen.probabilities(table[~train], names[~train])
    assert likely.sum(1) == pytest.approx(1)
    taken = f1[~train][np.arange((~train).sum()), likely.argmax(1)].mean()
    assert taken > f1[~train].mean(0).max()  # better than any single candidate


def test_neighbours_in_a_series_vote_and_nobody_for_himself():
    series = Series(["dog-1.png", "dog-2.png", "dog-9.png", "cat-3.png"], [0, 1, 1, 2])
    votes = series.votes(["dog-1.png", "dog-3.png", "cat-3.png", "new-1.png", "dog.png"])
    whole_class = votes[[f"series inf {c.name}" for c in CANDIDATES]].to_numpy()
    assert whole_class.tolist() == [
        [0, 2, 0, 0, 0],  # itself not
        [1, 2, 0, 0, 0],
        [0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0],
        [1, 2, 0, 0, 0],  # no number, still a dog
    ]
    near = votes[[f"series 1 {c.name}" for c in CANDIDATES]].to_numpy()[1]
    assert near[:2] == pytest.approx([np.exp(-2), np.exp(-1) + np.exp(-6)])


def test_series_are_looked_at_only_when_asked(learned, tmp_path):
    shapes, _, f1, table = learned
    names = list(shapes)
    blind = selection.fit(table, names, f1, Selection(trees=5))
    told = selection.fit(table, names, f1, Selection(trees=5, series=True))
    assert not any(c.startswith("series ") for c in blind.columns) and blind.series is None
    assert len(told.columns) == len(blind.columns) + 3 * len(CANDIDATES)
    assert told.probabilities(table[:1], ["unknown-1.png"]).shape == (1, len(CANDIDATES))
    facts = {"f1_cross_fitted": 0.5, "settings": {}, "commit": "", "finished_at": ""}
    selection.save(told, tmp_path / "s", facts | {"recipe": load("geometry").stored()})
    again, facts = selection.load(tmp_path / "s")
    assert (again.probabilities(table, names) == told.probabilities(table, names)).all()
    for damage in (None, {"names": names, "candidates": [9] * len(names)}, {"names": 3}, "x"):
        write_json(tmp_path / "s" / selection.CONFIG, facts | {"series": damage})
        with pytest.raises(UserError, match="its series is damaged"):
            selection.load(tmp_path / "s")
    other = [c.replace("series 1 ", "series 2 ") for c in told.columns]
    write_json(tmp_path / "s" / selection.CONFIG, facts | {"columns": other})
    with pytest.raises(UserError, match="was made for other votes"):
        selection.load(tmp_path / "s")


def test_a_series_that_decides_alone_is_learned(learned):
    """Alike shapes, of which the first half of the numbers has another tolerance."""
    names = [f"{kind}-{k}.png" for kind in ("a", "b", "c") for k in range(1, 21)]
    geometry = ShapeGeometry(blob(0, noisy=True))
    table = pd.concat([selection.describe([geometry])] * len(names), ignore_index=True)
    f1 = np.zeros((len(names), len(CANDIDATES)))
    f1[np.arange(len(names)), [0 if int(n[2:-4]) <= 10 else 2 for n in names]] = 1
    held = np.arange(len(names)) % 5 == 2  # numbers 3, 8, 13, 18: not where halves meet
    for series in (True, False):
        chosen = selection.fit(
            table[~held], np.array(names)[~held], f1[~held], Selection(trees=20, series=series)
        )
        likely = chosen.probabilities(table[held], np.array(names)[held])
        right = f1[held][np.arange(held.sum()), likely.argmax(1)].mean()
        assert (right > 0.8) == series


def test_a_stored_forest_decides_alike_and_cannot_run_code(learned, tmp_path):
    shapes, _, f1, table = learned
    chosen = selection.fit(table, list(shapes), f1, Selection(trees=20))
    facts = {"f1_cross_fitted": 0.5, "settings": {}, "commit": "", "finished_at": ""}
    selection.save(chosen, tmp_path / "s", facts | {"recipe": load("geometry").stored()})
    again, facts = selection.load(tmp_path / "s")
    assert facts["f1_cross_fitted"] == 0.5
    names = list(shapes)
    assert (again.probabilities(table, names) == chosen.probabilities(table, names)).all()
    forest = tmp_path / "s" / selection.FOREST
    skops.io.dump(FunctionTransformer(print), forest)
    write_json(tmp_path / "s" / selection.CONFIG, facts | {"sha256": sha256_of(forest)})
    with pytest.raises(UserError, match="not a plain forest"):
        selection.load(tmp_path / "s")
    forest.write_bytes(forest.read_bytes()[:-1])
    with pytest.raises(UserError, match="damaged"):
        selection.load(tmp_path / "s")
    with pytest.raises(UserError, match="no stored selection"):
        selection.load(tmp_path / "nowhere")


def test_predictions_are_one_piece_and_never_empty(learned):
    shapes, _, f1, table = learned
    chosen = selection.fit(table, list(shapes), f1, Selection(trees=20))
    odd = {"empty.png": np.zeros((32, 48), np.uint8), "faint.png": np.ones((32, 48), np.uint8)}
    skeletons, taken = selection.predict(chosen, {**dict(list(shapes.items())[:4]), **odd})
    assert all(component_count(s) == 1 for s in skeletons.values())
    assert skeletons["empty.png"].shape == (32, 48) and "empty.png" not in taken
    plain, taken = selection.predict(None, {"a.png": blob(3, noisy=False)})
    assert taken == {"a.png": PLAIN.name}
    assert (plain["a.png"] == plain_skeleton(blob(3, noisy=False))).all()


def test_healing_mends_shifts_by_one_pixel_only():
    label, shifted, far = (np.zeros((9, 9), bool) for _ in range(3))
    label[4, 1:8] = shifted[5, 1:8] = far[8, 1:8] = True
    assert f1_score(healed(shifted, label), label) == 1
    assert f1_score(healed(far, label), label) == 0


@pytest.fixture
def small(overrides):
    return load("geometry", [*overrides, "selection.trees=10", "selection.trials=3"])


def test_no_image_is_judged_by_a_forest_that_saw_it(small, tiny_folds, monkeypatch):
    seen = []
    fit = selection.fit
    monkeypatch.setattr(
        selection, "fit", lambda f, names, *rest: seen.append(set(names)) or fit(f, names, *rest)
    )
    examples = load_examples(small)
    out_of_fold(examples, small.selection)
    folds = [set(tiny_folds["image"][tiny_folds["fold"] == k]) for k in range(3)]
    assert len(seen) == 3
    for held_out, trained in zip(folds, seen):
        assert trained == set(examples.names) - held_out


def test_training_writes_scores_and_is_skipped_when_current(small, tiny_folds, capsys):
    first = train_selection(small)
    scores = pd.read_csv(small.run_folder / "scores.csv").set_index("method")
    each = pd.read_csv(small.run_folder / "out_of_fold.csv")
    assert scores.loc["geometry", "f1"] == pytest.approx(each["f1"].mean(), abs=1e-4)
    assert scores.loc["geometry", "one_component"] == 1
    assert scores.loc["oracle: and mask", "f1"] == pytest.approx(each["best_f1"].mean(), abs=1e-4)
    assert first["trials"] == 3 and 0 < first["f1_cross_fitted"] <= first["f1"]
    assert train_selection(small) == first
    assert "skipped" in capsys.readouterr().out


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


def test_what_is_shipped_works_without_any_training(data_root, tmp_path):
    shapes = str(data_root / "img_test_shape")
    words = ("--run", "weights/geometry", "--images", shapes, "--out", str(tmp_path / "mine"))
    done = script("make_submission", *words, check=True)
    assert "geometry: 5 candidates" in done.stdout
    for path in (tmp_path / "mine").iterdir():
        assert component_count(read_grey(path) > 0) == 1
    large = np.zeros((300, 500), np.uint8)
    large[40:260, 30:220] = large[100:140, 300:450] = 255
    write_png(tmp_path / "large" / "two.png", large)
    script("make_submission", *words[:3], str(tmp_path / "large"), *words[4:], check=True)
    drawn = read_grey(tmp_path / "mine" / "two.png") > 0
    assert component_count(drawn) == 2 and not (drawn & (large == 0)).any()
