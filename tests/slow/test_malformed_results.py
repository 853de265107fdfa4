"""What stages leave for others: results of searches, scores, probabilities, maps; broken."""

import json

import numpy as np
import pytest
from broken_files import (
    BROKEN_JSON,
    SOME_BROKEN_JSON,
    edited,
    flipped,
    hostile_pickle,
    npy,
    npz,
    write,
)
from judge import OK, run_and_judge, table

from canet.core.console import UserError
from canet.core.files import read_json
from canet.core.recipe_files import load
from canet.data.training_set import TrainingSet
from canet.evaluation.score_tables import read_table
from canet.search.threshold import KEPT
from canet.training.fold import search_fingerprint


@table(BROKEN_JSON | {"no count": edited(trials=...), "a text": edited(trials="3")})
def test_a_damaged_result_of_a_search_counts_as_none(case, tmp_path):
    samples = {int: 3, float: 1, str: "x", dict: {}}  # a whole number is a number, too
    kept = {key: samples[kind] for key, kind in KEPT.items()}
    path = write(tmp_path / "kept.json", json.dumps(kept).encode())
    assert read_json(path, **KEPT) == kept
    write(path, case(path.read_bytes(), tmp_path / "trace"))
    assert read_json(path, **KEPT) is None and not (tmp_path / "trace").exists()


SCORES = {
    "empty": b"",
    "binary": bytes(range(256)),
    "no method": b"f1,x\n1,2\n",
    "no score": b"method,x\nnetwork,2\n",
    "a text for a score": b"method,f1\nnetwork,high\n",
    "more fields in a row": b"method,f1\nnetwork,1,2,3\nx,1,2,3,4,5\n",
    "a folder": lambda path: path.mkdir(),
}


@table(SCORES)
def test_a_damaged_table_of_scores_is_refused(case, tmp_path):
    right = write(tmp_path / "right.csv", b"method,f1\nnetwork,1\n")
    assert read_table(right, "f1").loc["network", "f1"] == 1
    with pytest.raises((UserError, IsADirectoryError), match=r"scores\.csv"):
        read_table(write(tmp_path / "scores.csv", case), "f1")


THRESHOLD = {"threshold": 0.4, "postprocess": {}, "trained": {}, "study": "s", "images": 5}
THRESHOLDS = {k: (change, "damaged") for k, change in SOME_BROKEN_JSON.items()} | {
    "right": (edited(), OK),
    "no threshold": (edited(threshold=...), "damaged"),
    "a text for a threshold": (edited(threshold="0.4"), "damaged"),
    "threshold 7": (edited(threshold=7), "damaged"),
    "threshold NaN": (edited(threshold=float("nan")), "damaged"),
    "a list of switches": (edited(postprocess=[]), "damaged"),
    "an unknown switch": (edited(postprocess={"thinn": True}), "unknown key thinn"),
    "a wrong switch": (edited(postprocess={"spur_px": "x"}), "spur_px is 'x'"),
    "a list of folds": (edited(trained=[]), "damaged"),
    "another training": (edited(trained={"0": "x"}), "of an earlier training"),
    "no study": (edited(study=...), "damaged"),
}


@table(THRESHOLDS)
def test_a_threshold_is_used_or_refused(case, trained, shapes, tmp_path):
    change, expected = case
    run, trace = trained.run_folder, tmp_path / "trace"
    write(run / "threshold.json", change(json.dumps(THRESHOLD).encode(), trace))
    words = ("--run", run, "--images", shapes, "--out", tmp_path / "out")
    run_and_judge(tmp_path, expected, "threshold.json", "make_submission", *words)
    assert not trace.exists()


TUNED = {"loss": {"focal": 7.0}}
TUNED_LOSSES = {
    k: (change, "the loss search has not ended") for k, change in SOME_BROKEN_JSON.items()
} | {
    "a list for a loss": (edited(loss=[1]), "the loss search has not ended"),
    "an unknown weight": (edited(loss={"focall": 1}), "unknown key focall"),
    "a negative weight": (edited(loss={"focal": -1}), "focal is -1"),
    "no number": (edited(loss={"focal": float("nan")}), "focal is nan"),
}


@table(TUNED_LOSSES)
def test_a_tuned_loss_is_used_or_refused(case, trained, overrides, tmp_path):
    change, expected = case
    trace = tmp_path / "trace"
    path = trained.run_folder / "fold-0" / "tuned_loss.json"
    asked = load("demo", [*overrides, "loss.tuned=true"])
    tuned = TUNED | {"identity": search_fingerprint(asked, 0, TrainingSet(asked))}
    write(path, change(json.dumps(tuned).encode(), trace))
    words = ("--fold", "0", "--recipe", "demo", "--set", *overrides, "loss.tuned=true")
    run_and_judge(tmp_path, expected, path.name, "train", *words)
    assert not trace.exists()


LEVELS, FIVE = np.zeros((5, 64, 64), np.uint8), np.array(list("abcde"))
NOISE = np.random.default_rng(0).integers(0, 256, LEVELS.shape, np.uint8)
HELD_OUT = {
    "empty": lambda c, t: b"",
    "text": lambda c, t: b"no arrays",
    "half": lambda c, t: c[: len(c) // 2],
    "a bit": lambda c, t: flipped(npz(names=FIVE, levels=NOISE), 9999),
    "a hostile pickle": lambda c, t: hostile_pickle(t),
    "an array": lambda c, t: npy(LEVELS),
    "no names": lambda c, t: npz(levels=LEVELS),
    "names as objects": lambda c, t: npz(names=np.array([{}] * 5, object), levels=LEVELS),
    "numbers for names": lambda c, t: npz(names=np.arange(5), levels=LEVELS),
    "floats for levels": lambda c, t: npz(names=FIVE, levels=LEVELS.astype(float)),
    "flat levels": lambda c, t: npz(names=FIVE, levels=LEVELS[:, 0]),
    "fewer names": lambda c, t: npz(names=FIVE[:4], levels=LEVELS),
    "nothing": lambda c, t: npz(names=FIVE[:0], levels=LEVELS[:0]),
}


@table(HELD_OUT)
def test_held_out_probabilities_are_refused_when_damaged(case, trained, overrides, tmp_path):
    trace, path = tmp_path / "trace", trained.run_folder / "fold-0" / "held_out.npz"
    write(path, case(path.read_bytes(), trace))
    words = ("--recipe", "demo", "--set", *overrides)
    run_and_judge(tmp_path, "train the fold again", path.name, "tune_threshold", *words)
    assert not trace.exists()


MAPS = {
    "empty": lambda c, t: b"",
    "half": lambda c, t: c[: len(c) // 2],
    "a bit": lambda c, t: flipped(c, len(c) // 2),
    "a bit of the header": lambda c, t: flipped(c, 9),
    "foreign": lambda c, t: npy(LEVELS),
    "a hostile pickle": lambda c, t: hostile_pickle(t),
}
MAPS = {f"maps: {k}": (".npy", change) for k, change in MAPS.items()}
MAPS |= {f"stamp: {k}": (".json", change) for k, change in SOME_BROKEN_JSON.items()}
MAPS |= {
    "stamp: a list of outputs": (".json", edited(outputs=[])),
    "stamp: a number for a digest": (".json", edited(digest=5)),
}


@table(MAPS)
def test_damaged_maps_are_made_again(case, trained, overrides, tmp_path):
    suffix, change = case
    trace = tmp_path / "trace"
    (path,) = trained.cache_folder.glob(f"maps/*/img_train_shape/*{suffix}")
    content = path.read_bytes()
    write(path, change(content, trace))
    words = ("--recipe", "demo", "--set", *overrides)
    done = run_and_judge(tmp_path, OK, "", "make_distance_maps", *words)
    assert "img_train_shape/repaired_distance_25px.npy is outdated or damaged" in done.stdout
    assert path.read_bytes() == content and not trace.exists()
