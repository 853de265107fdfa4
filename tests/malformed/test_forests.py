"""Stored forests, right and broken: each is refused in one line, and none runs code."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from broken_files import (
    SOME_BROKEN_JSON,
    Change,
    Hostile,
    edited,
    flipped,
    hostile_pickle,
    npy,
    npz,
    recipe_with,
    rezipped,
    write,
    zipped,
)
from judge import OK, run_and_judge, table
from tiny import copy_folder

from canet.core.files import sha256_of
from canet.selection.forest import CONFIG, FOREST, load

Arrays = dict[str, np.ndarray]
MANY = 2**62
REFUSED = "no forest for these features"


@pytest.fixture
def forest(forest_once, tmp_path) -> Path:
    """A folder with a stored forest, to break."""
    copy_folder(forest_once, tmp_path / "geometry")
    return tmp_path / "geometry"


def config_of(change: Change) -> Callable[[Path, Path], object]:
    """Another configuration."""

    def apply(folder: Path, trace: Path) -> None:
        write(folder / CONFIG, change((folder / CONFIG).read_bytes(), trace))

    return apply


def forest_of(change: Change) -> Callable[[Path, Path], object]:
    """Another forest, with its right checksum in the configuration."""

    def apply(folder: Path, trace: Path) -> None:
        path = write(folder / FOREST, change((folder / FOREST).read_bytes(), trace))
        config_of(edited(sha256=sha256_of(path)))(folder, trace)

    return apply


def arrays_with(change: Callable[[Arrays], Arrays | None]) -> Callable[[Path, Path], object]:
    """Other arrays: those that `change` returns, or leaves where it returns nothing."""

    def apply(content: bytes, trace: Path) -> bytes:
        arrays = dict(np.load(io.BytesIO(content)))
        return npz(**(change(arrays) or arrays))

    return forest_of(apply)


def setting(name: str, at: Callable[[Arrays], object], value: object):
    """One value of an array is another."""

    def change(arrays: Arrays) -> None:
        arrays[name][at(arrays)] = value

    return arrays_with(change)


def other(name: str, make: Callable[[np.ndarray], np.ndarray]):
    """A whole array is another."""
    return arrays_with(lambda arrays: arrays | {name: make(arrays[name])})


def first(arrays: Arrays) -> int:
    """The first root, which has children."""
    assert arrays["left"][0] > 0
    return 0


def leaf(arrays: Arrays) -> int:
    """The last node, which has none."""
    assert arrays["left"][-1] == -1
    return -1


def parent(arrays: Arrays) -> int:
    """A node with children that is no root."""
    return int(np.setdiff1d(np.flatnonzero(arrays["left"] > 0), arrays["roots"])[0])


def hostile_array(content: bytes, trace: Path) -> bytes:
    """An array of objects that run code when they are unpickled."""
    return npz(**dict(np.load(io.BytesIO(content))) | {"value": np.array([Hostile(trace)], object)})


def without_end(content: bytes, trace: Path) -> bytes:
    """An array that says it is longer than its bytes."""
    return rezipped(content, lambda name, old: old[:-8] if name == "left.npy" else old)


def bomb(content: bytes, trace: Path) -> bytes:
    """An array whose header asks for exabytes."""
    head = {"descr": "<f8", "fortran_order": False, "shape": (MANY // 8,)}
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, head)
    return rezipped(content, lambda name, old: file.getvalue() if name == "value.npy" else old)


def list_among_columns(content: bytes, trace: Path) -> bytes:
    """A configuration with as many columns, one of which is no name."""
    config = json.loads(content)
    return json.dumps(config | {"columns": [["a"], *config["columns"][1:]]}).encode()


FORESTS = {
    f"config: {k}": (config_of(change), "damaged") for k, change in SOME_BROKEN_JSON.items()
} | {
    "right": (lambda folder, trace: None, OK),
    "right, packed otherwise": (arrays_with(lambda arrays: None), OK),
    "no columns": (config_of(edited(columns=...)), "damaged"),
    "no score": (config_of(edited(f1_cross_fitted=...)), "damaged"),
    "a text for a score": (config_of(edited(f1_cross_fitted="x")), "damaged"),
    "an empty recipe": (config_of(edited(recipe={})), "name is missing"),
    "a list for a recipe": (config_of(edited(recipe=[])), "damaged"),
    "a folder to write": (config_of(recipe_with("machine", submissions="/etc")), OK),
    "other candidates": (config_of(edited(candidates=["a"])), "made for other candidates"),
    "other columns": (config_of(edited(columns=["a"])), REFUSED),
    "a list among the columns": (config_of(list_among_columns), "damaged"),
    "another checksum": (config_of(edited(sha256="0")), "damaged or replaced"),
    "no checksum": (config_of(edited(sha256=...)), "damaged"),
    "a bit": (
        lambda folder, trace: write(folder / FOREST, flipped((folder / FOREST).read_bytes(), 3000)),
        "damaged or replaced",
    ),
    "empty": (forest_of(lambda c, t: b""), "damaged (EOFError)"),
    "text": (forest_of(lambda c, t: b"no forest"), "damaged"),
    "half": (forest_of(lambda c, t: c[: len(c) // 2]), "damaged (BadZipFile)"),
    "a bit, right checksum": (forest_of(lambda c, t: flipped(c, len(c) // 2)), "damaged"),
    "a hostile pickle": (forest_of(lambda c, t: hostile_pickle(t)), "damaged (ValueError)"),
    "a hostile array": (forest_of(hostile_array), "damaged (ValueError)"),
    "a hostile member": (
        forest_of(lambda c, t: rezipped(c, lambda n, old: hostile_pickle(t))),
        REFUSED,
    ),
    "one array": (forest_of(lambda c, t: npy(np.zeros(3))), "damaged"),
    "another zip": (forest_of(lambda c, t: zipped([("a.png", b"")])), "damaged (KeyError)"),
    "an array that is too short": (forest_of(without_end), "damaged (ValueError)"),
    "an array too few": (
        arrays_with(lambda a: {k: v for k, v in a.items() if k != "threshold"}),
        "damaged (KeyError)",
    ),
    "an array more": (arrays_with(lambda a: a | {"x": np.zeros(3)}), OK),
    "objects for a threshold": (other("threshold", lambda a: a.astype(object)), "damaged"),
    "floats for children": (other("left", lambda a: a.astype(float)), REFUSED),
    "short integers": (other("right", lambda a: a.astype(np.int32)), REFUSED),
    "big-endian children": (other("left", lambda a: a.astype(">i8")), REFUSED),
    "single precision": (other("value", lambda a: a.astype(np.float32)), REFUSED),
    "texts for features": (other("feature", lambda a: a.astype(str)), REFUSED),
    "complex shares": (other("value", lambda a: a.astype(complex)), REFUSED),
    "flat shares": (other("value", lambda a: a.ravel()), REFUSED),
    "one number for children": (other("left", lambda a: a[0]), REFUSED),
    "children in a table": (other("left", lambda a: a[None]), REFUSED),
    "a threshold too few": (other("threshold", lambda a: a[1:]), REFUSED),
    "a child too few": (other("right", lambda a: a[1:]), REFUSED),
    "a class too few": (other("classes", lambda a: a[1:]), REFUSED),
    "no trees": (other("roots", lambda a: a[:0]), REFUSED),
    "no nodes": (
        arrays_with(lambda a: {k: v if k in ("classes", "roots") else v[:0] for k, v in a.items()}),
        REFUSED,
    ),
    "its own child": (setting("left", first, 0), REFUSED),
    "its own child on the right": (setting("right", first, 0), REFUSED),
    "a circle": (setting("left", parent, 0), REFUSED),
    "a child before the first": (setting("right", first, -7), REFUSED),
    "a child after the last": (setting("left", first, MANY), REFUSED),
    "a leaf on one side": (setting("right", first, -1), REFUSED),
    "a leaf on the other": (setting("right", leaf, 10**6), OK),  # is never gone to
    "a root before the first": (setting("roots", lambda a: 0, -1), REFUSED),
    "a root after the last": (setting("roots", lambda a: 0, MANY), REFUSED),
    "an unknown feature": (setting("feature", first, 10**6), REFUSED),
    "a feature before the first": (setting("feature", first, -2), REFUSED),
    "an unknown class": (setting("classes", lambda a: -1, 5), REFUSED),
    "a class before the first": (setting("classes", lambda a: 0, -1), REFUSED),
    "a class twice": (setting("classes", lambda a: 1, 0), REFUSED),
    "a threshold that is no number": (setting("threshold", first, np.nan), REFUSED),
    "a share that is no number": (setting("value", leaf, np.nan), REFUSED),
    "an infinite share": (setting("value", leaf, np.inf), REFUSED),
    "a negative share": (setting("value", lambda a: (leaf(a), slice(2)), [-1, 2]), REFUSED),
    "shares of more than all": (setting("value", leaf, 1), REFUSED),
    "shares of nothing": (setting("value", leaf, 0), REFUSED),
}


@table(FORESTS)
def test_a_forest_decides_or_is_refused(case, forest, shapes, tmp_path):
    change, expected = case
    trace = tmp_path / "trace"
    change(forest, trace)
    words = ("--run", forest, "--images", shapes, "--out", tmp_path / "out")
    run_and_judge(tmp_path, expected, "geometry", "make_submission", *words)
    assert not trace.exists()


def test_the_hostile_array_would_run_code(forest, tmp_path):
    trace = tmp_path / "trace"
    content = hostile_array((forest / FOREST).read_bytes(), trace)
    assert len(np.load(io.BytesIO(content), allow_pickle=True)["value"]) == 1
    assert trace.exists()


def test_an_array_that_asks_for_exabytes_is_one_line(forest, shapes, tmp_path):
    forest_of(bomb)(forest, tmp_path / "trace")
    words = ("--run", forest, "--images", shapes, "--out", tmp_path / "out")
    run_and_judge(tmp_path, "", "", "make_submission", *words)


def test_a_recipe_from_elsewhere_does_not_say_where_to_write(forest, tmp_path):
    change = recipe_with("machine", submissions="/etc", runs="/etc", cache="/etc")
    config_of(change)(forest, tmp_path)
    assert "machine" in json.loads((forest / CONFIG).read_bytes())["recipe"]
    assert "machine" not in load(forest)[1]["recipe"]
