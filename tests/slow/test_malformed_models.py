"""Checkpoints and models, right and broken; what is in them never runs."""

import io
import json
from pathlib import Path

import pytest
import torch
from broken_files import (
    BROKEN_JSON,
    SOME_BROKEN_JSON,
    edited,
    flipped,
    good_pngs,
    hostile_checkpoint,
    hostile_pickle,
    recipe_with,
    rezipped,
    torch_file,
    write,
    zipped,
)
from judge import OK, run_and_judge, table

from canet.core.files import sha256_of
from canet.core.recipe import Machine
from canet.inference.saved_model import load_model
from canet.training.fold import is_done


@pytest.fixture
def fold(trained) -> Path:
    """The folder of a trained fold, to break."""
    return trained.run_folder / "fold-0"


@pytest.fixture
def predict(trained, shapes, tmp_path) -> tuple:
    """How to predict a shape with that run."""
    words = ("--run", trained.run_folder, "--images", shapes, "--out", tmp_path / "out")
    return ("make_submission", *words)


@pytest.fixture
def train(overrides) -> tuple:
    """How to train the fold."""
    return ("train", "--fold", "0", "--recipe", "demo", "--set", *overrides)


def changed(content: bytes, **values) -> bytes:
    """A checkpoint with other values, None for those to leave out."""
    loaded = torch.load(io.BytesIO(content), weights_only=True) | values
    return torch_file({k: v for k, v in loaded.items() if v is not None})


def first_of(content: bytes, part: str) -> dict:
    """One part of a checkpoint, its first tensor of another shape."""
    tensors = torch.load(io.BytesIO(content), weights_only=True)[part]
    name = next(iter(tensors))
    return tensors | {name: torch.zeros(7)}


CHECKPOINTS = {
    "right": (lambda c, trace: c, OK),
    "empty": (lambda c, trace: b"", "BadZipFile"),
    "text": (lambda c, trace: b"no checkpoint", "BadZipFile"),
    "half": (lambda c, trace: c[: len(c) // 2], "BadZipFile"),
    "all but the end": (lambda c, trace: c[:-30], "BadZipFile"),
    "a bit of a weight": (lambda c, trace: flipped(c, len(c) // 2), "BadZipFile"),
    "a bit of the pickle": (lambda c, trace: flipped(c, 200), "BadZipFile"),
    "an empty zip": (lambda c, trace: zipped([]), "damaged checkpoint"),
    "another zip": (
        lambda c, trace: zipped([("x.png", good_pngs()["grey"])]),
        "damaged checkpoint",
    ),
    "no tensors": (
        lambda c, trace: rezipped(c, lambda n, old: None if "/data/" in n else old),
        "damaged checkpoint",
    ),
    "a hostile pickle": (lambda c, trace: hostile_pickle(trace), "BadZipFile"),
    "a hostile checkpoint": (
        lambda c, trace: hostile_checkpoint(trace, c),
        "UnpicklingError",
    ),
    "a list": (lambda c, trace: torch_file([1, 2]), "damaged checkpoint"),
    "a tensor": (lambda c, trace: torch_file(torch.zeros(3)), "damaged checkpoint"),
    "an empty mapping": (lambda c, trace: torch_file({}), "damaged checkpoint (KeyError)"),
    "no identity": (lambda c, trace: changed(c, identity=None), "damaged checkpoint (KeyError)"),
    "no model": (lambda c, trace: changed(c, model=None), "damaged checkpoint (KeyError)"),
    "no epoch": (lambda c, trace: changed(c, epoch=None), "damaged checkpoint (KeyError)"),
    "a text for an epoch": (
        lambda c, trace: changed(c, epoch="1"),
        "damaged checkpoint (TypeError)",
    ),
    "no origins": (lambda c, trace: changed(c, origins=None), OK),
    "a text for origins": (lambda c, trace: changed(c, origins="x"), "damaged checkpoint (TypeE"),
    "an empty origin": (lambda c, trace: changed(c, origins=[{}]), "damaged checkpoint (KeyError)"),
    "a list for a model": (lambda c, trace: changed(c, model=[1]), "damaged checkpoint"),
    "a list for an optimizer": (lambda c, trace: changed(c, optimizer=[1]), "damaged checkpoint"),
    "no parameters": (lambda c, trace: changed(c, optimizer={}), "damaged checkpoint"),
    "another shape": (lambda c, trace: changed(c, model=first_of(c, "model")), "RuntimeError"),
    "no weights": (lambda c, trace: changed(c, model={}), "damaged checkpoint (RuntimeError)"),
}


@table(CHECKPOINTS)
def test_a_checkpoint_is_continued_or_refused(case, fold, train, tmp_path):
    change, expected = case
    trace = tmp_path / "trace"
    (fold / "done.json").unlink()
    write(fold / "checkpoint.pt", change((fold / "checkpoint.pt").read_bytes(), trace))
    run_and_judge(tmp_path, expected, "checkpoint.pt", *train)
    assert not trace.exists()


FACTS, WEIGHTS, CONFIG = "model/training.json", "model/model.safetensors", "model/config.json"
MODELS = {f"{FACTS}: {k}": (FACTS, change, "damaged") for k, change in SOME_BROKEN_JSON.items()}
MODELS |= {
    "right": (FACTS, lambda c, t: c, OK),
    "no checksum": (FACTS, edited(sha256=...), "damaged"),
    "no recipe": (FACTS, edited(recipe=...), "damaged"),
    "a list for a recipe": (FACTS, edited(recipe=[]), "damaged"),
    "an empty recipe": (FACTS, edited(recipe={}), "name is missing"),
    "no fold": (FACTS, edited(fold=...), "damaged"),
    "a number for a date": (FACTS, edited(finished_at=5), "damaged"),
    "an unknown encoder": (FACTS, recipe_with("model", encoder="resnut5"), "cannot be built"),
    "an encoder elsewhere": (FACTS, recipe_with("model", encoder="tu-hf_hub:a/b"), "encoder is"),
    "another width": (FACTS, recipe_with("model", encoder="resblock8"), "damaged model"),
    "other inputs": (FACTS, recipe_with("input", kind="shape+edge"), "damaged model"),
    "a text for blocks": (FACTS, recipe_with("model", blocks="many"), "model.blocks is"),
    "a folder to write": (FACTS, recipe_with("machine", submissions="/etc", runs="/etc"), OK),
    "weights: empty": (WEIGHTS, lambda c, t: b"", "damaged model"),
    "weights: text": (WEIGHTS, lambda c, t: b"none", "damaged model"),
    "weights: half": (WEIGHTS, lambda c, t: c[: len(c) // 2], "damaged model"),
    "weights: a bit of the header": (WEIGHTS, lambda c, t: flipped(c, 20), "damaged model"),
    "weights: a bit of a number": (WEIGHTS, lambda c, t: flipped(c, -5), "damaged model"),
    "weights: a hostile pickle": (WEIGHTS, lambda c, t: hostile_pickle(t), "damaged model"),
    "weights: a checkpoint": (WEIGHTS, lambda c, t: torch_file({"a": 1}), "damaged model"),
    "a configuration, not read": (CONFIG, lambda c, t: hostile_pickle(t), OK),
    "a pickle beside": ("model/pytorch_model.bin", lambda c, t: hostile_pickle(t), OK),
}


def test_a_recipe_from_elsewhere_does_not_say_where_to_write(fold, tmp_path):
    path = fold / "model" / "training.json"
    change = recipe_with("machine", submissions="/etc", runs="/etc", cache="/etc")
    write(path, change(path.read_bytes(), tmp_path))
    assert load_model(path.parent, torch.device("cpu")).recipe.machine == Machine()


@table(MODELS)
def test_a_model_is_used_or_refused(case, fold, predict, tmp_path):
    name, change, expected = case
    trace, path = tmp_path / "trace", fold / name
    content = path.read_bytes() if path.exists() else b""
    write(path, change(content, trace))
    named = {"damaged model": WEIGHTS, "cannot be built": "resnut5"}.get(expected, name)
    run_and_judge(tmp_path, expected, Path(named).name, *predict)
    assert not trace.exists()


WEIGHTS_OF_THAT_CHECKSUM = {
    "empty": lambda c, t: b"",
    "half": lambda c, t: c[: len(c) // 2],
    "header of noise": lambda c, t: b"\xff" * 8 + c[8:],
    "a bit of the header": lambda c, t: flipped(c, 12),
    "a hostile pickle": lambda c, t: hostile_pickle(t),
    "a hostile checkpoint": lambda c, t: hostile_checkpoint(t, torch_file({"a": torch.zeros(1)})),
    "not numbers": lambda c, t: c[:-400] + b"\xff" * 400,
}


@table(WEIGHTS_OF_THAT_CHECKSUM)
def test_weights_with_a_right_checksum_are_looked_at_too(case, fold, predict, tmp_path):
    trace, path, facts = tmp_path / "trace", fold / WEIGHTS, fold / FACTS
    write(path, case(path.read_bytes(), trace))
    write(facts, edited(sha256=sha256_of(path))(facts.read_bytes(), trace))
    run_and_judge(tmp_path, "damaged model", path.name, *predict)
    assert not trace.exists()


MARKS = BROKEN_JSON | {"no outputs": edited(outputs={}), "outputs a list": edited(outputs=[])}
MARKS |= {"another": edited(identity="x"), "a number": edited(identity=5)}


def test_a_damaged_mark_of_a_finished_fold_counts_as_none(fold, predict, train, tmp_path):
    trace, content = tmp_path / "trace", (fold / "done.json").read_bytes()
    identity = json.loads(content)["identity"]
    assert is_done(fold, identity)
    for name, change in MARKS.items():
        write(fold / "done.json", change(content, trace))
        assert not is_done(fold, identity), name
        if name in SOME_BROKEN_JSON:
            run_and_judge(tmp_path, "fold 0 is not trained", "runs/", *predict)
    done = run_and_judge(tmp_path, OK, "", *train)
    assert "skipped" not in done.stdout and "continues in epoch 3" in done.stdout
    assert is_done(fold, identity)
