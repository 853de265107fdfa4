"""Malformed input: what can be understood is, all else ends in one line, and no code is ever run.

Hand-made files go through the scripts as a user calls them, generated ones through the readers.
"""

import io
import json
import os
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import skops.io
import torch
from broken_files import (
    broken_pngs,
    encoded,
    flipped,
    good_pngs,
    harmless_pngs,
    hostile_checkpoint,
    hostile_pickle,
    png,
    rezipped,
    shape_mask,
    write,
    zipped,
)
from conftest import tiny_overrides
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scripts import Finished, run_script
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.preprocessing import FunctionTransformer

from canet import png as png_code
from canet import recipe
from canet.dataset import ImageFolders, check_shapes, list_images
from canet.files import REPOSITORY, UserError, read_grey, read_json, sha256_of, write_png
from canet.fitting import start
from canet.folds import assign_folds, folds_path, read_folds, write_folds
from canet.geometry import selection
from canet.geometry.candidates import CANDIDATES, ShapeGeometry
from canet.model_folder import load_model
from canet.recipe import Folds, Selection
from canet.runs import read_threshold
from canet.scoring import read_table
from canet.submission import encode, read_submission
from canet.threshold_search import KEPT, read_held_out
from canet.training import is_done

CPU = torch.device("cpu")
OK = None  # expected in place of a part of the message
NOT_UTF8 = os.fsdecode(b"caf\xe9-1.png")
DEEP = "[" * 5000 + "]" * 5000


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """What lies in a folder, with sizes and times.

    Lock files say nothing, and a run's recipe is what was asked for, whatever becomes of it.
    """
    return {
        str(p.relative_to(folder)): (p.lstat().st_size, p.lstat().st_mtime_ns)
        for p in folder.rglob("*")
        if p.suffix != ".lock" and p.name != "recipe.yaml" and not p.is_dir()
    }


def run_and_judge(
    folder: Path, expected: str | None, named: str, script: str, *words: object
) -> Finished:
    """Run a script whose outputs belong into `folder`, and hold it to what is promised.

    Args:
        expected: part of the message, or OK.
        named: what the message has to name.
    """
    before = listing(folder)
    done = run_script(script, *words)
    assert "Traceback" not in done.stderr + done.stdout, done.stderr
    if expected is OK:
        assert done.code == 0, done.stderr
        return done
    assert done.code == 1, done
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), lines
    assert expected in lines[0] and named in lines[0] and len(lines[0]) < 1500, lines[0]
    assert listing(folder) == before
    return done


def table(cases: dict) -> pytest.MarkDecorator:
    """One test a case: its value is what the test gets."""
    return pytest.mark.parametrize("case", cases.values(), ids=cases.keys())


# ---------------------------------------------------------------------------------- images

GOOD_PNGS, BROKEN_PNGS, HARMLESS_PNGS = good_pngs(), broken_pngs(), harmless_pngs()


def test_every_way_to_write_a_silhouette_gives_its_skeleton(tmp_path):
    for name, content in GOOD_PNGS.items():
        write(tmp_path / "shapes" / f"{name}.png", content)
    words = ("compact", "--images", tmp_path / "shapes", "--out", tmp_path / "out")
    run_and_judge(tmp_path, OK, "", "baseline", *words)
    wanted = read_grey(tmp_path / "out" / "grey.png")
    found = {name: read_grey(tmp_path / "out" / f"{name}.png") for name in GOOD_PNGS}
    assert wanted.any() and [n for n, s in found.items() if not (s == wanted).all()] == []


def test_damage_that_leaves_the_pixels_alone_is_no_obstacle(tmp_path):
    expected = read_grey(write(tmp_path / "good.png", GOOD_PNGS["grey"]))
    for name, content in HARMLESS_PNGS.items():
        assert (read_grey(write(tmp_path / "x.png", content)) == expected).all(), name


@table(BROKEN_PNGS)
def test_a_broken_image_is_refused_before_anything_is_predicted(case, tmp_path):
    content, expected = case
    write(tmp_path / "shapes" / "a good one.png", GOOD_PNGS["grey"])
    write(tmp_path / "shapes" / "broken.png", content)
    words = ("compact", "--images", tmp_path / "shapes", "--out", tmp_path / "out")
    done = run_and_judge(tmp_path, expected, "shapes/broken.png: ", "baseline", *words)
    assert "1 of 2 shapes cannot be used" in done.stderr


def test_all_broken_images_of_a_data_set_are_listed(data_root, tmp_path):
    shutil.copytree(data_root, tmp_path / "data")
    listed = {k: case for k, case in BROKEN_PNGS.items() if case[1] != "is all black"}
    listed = dict(list(listed.items())[:25])
    for name, (content, _) in listed.items():
        write(tmp_path / "data" / "img_test_shape" / f"{name}.png", content)
    own = [*tiny_overrides(tmp_path / "data", tmp_path), "data.test_skeletons=null"]
    done = run_script("check_input", "--recipe", "demo", "--set", *own)
    assert done.code == 1 and "Traceback" not in done.stderr
    assert done.stderr.startswith(f"error: {len(listed)} problems with the data set:\n")
    for name, (_, expected) in listed.items():
        assert any(f"{name}.png: " in li and expected in li for li in done.stderr.splitlines())


def test_all_unusable_shapes_are_counted_and_the_first_ones_named(tmp_path):
    for i in range(9):
        write(tmp_path / f"{i}.png", b"" if i % 4 else GOOD_PNGS["grey"])
    with pytest.raises(UserError) as caught:
        check_shapes(list_images(tmp_path))
    message = str(caught.value)
    assert message.startswith("6 of 9 shapes cannot be used: ") and "… and 1 more" in message
    assert all(f"{i}.png: is empty" in message for i in (1, 2, 3, 5, 6)) and "7.png" not in message


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (300, 2)])
def test_small_and_full_shapes_have_a_size_and_a_skeleton(size, tmp_path):
    write(tmp_path / "shapes" / "x.png", png(np.full(size, 255)))
    assert check_shapes(list_images(tmp_path / "shapes")) == {"x.png": size}
    words = ("compact", "--images", tmp_path / "shapes", "--out", tmp_path / "out")
    run_and_judge(tmp_path, OK, "", "baseline", *words)
    assert read_grey(tmp_path / "out" / "x.png").shape == size


def test_black_on_white_is_predicted_with_a_warning(data_root, tmp_path):
    write_png(tmp_path / "shapes" / "x.png", np.where(shape_mask(), 0, 255).astype(np.uint8))
    words = ("--images", tmp_path / "shapes", "--out", tmp_path / "out")
    shipped = REPOSITORY / "weights" / "geometry"
    done = run_and_judge(tmp_path, OK, "", "make_submission", "--run", shipped, *words)
    assert "warning: x.png looks black on white" in done.stdout


def test_the_challenges_own_images_are_read_as_ever(data_root):
    """By OpenCV's own decoder of 8-bit grey, which they were read with before."""
    import cv2

    real = REPOSITORY / "input" / "pixel-skelneton"
    root = real if real.is_dir() else data_root
    paths = sorted(root.glob("img_*/*.png"))[::7]
    assert paths
    for path in paths:
        plain = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_GRAYSCALE)
        np.testing.assert_array_equal(read_grey(path), plain)


# ---------------------------------------------------------------------------------- names

NAMES = ["a b-1.png", "größe-1.png", "骨-1.png", "two\nlines-1.png", "tab\t-1.png", "'q'-1.png"]
NAMES += ['"q"-1.png', "a,b-1.png", "a;b-1.png", ".hidden-1.png", "-1.png", "--help.png"]
NAMES += ["..png", "a..b-1.png", "...png", "NA-1.png", "null-1.png", "nan-1.png", "None-1.png"]
NAMES += ["UPPER-1.PNG", "upper-1.png", "Upper-1.Png", "1e5-1.png", "0x10-1.png", "=1+1-1.png"]
NAMES += ["%s-1.png", "{0}-1.png", "$HOME-1.png", "a\\b-1.png", "*-1.png", "[a]-1.png", "#-1.png"]
NAMES += ["x" * 200 + "-1.png", "\u202egnp-1.png", "é-1.png"]


def test_every_name_that_is_text_survives_zip_table_and_score(tmp_path):
    shapes, labels = tmp_path / "shapes", tmp_path / "labels"
    for name in NAMES:
        write(shapes / name, GOOD_PNGS["grey"])
    words = ("compact", "--images", shapes, "--out", tmp_path / "out")
    run_and_judge(tmp_path, OK, "", "baseline", *words)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(NAMES)
    shutil.copytree(tmp_path / "out", labels)
    words = (tmp_path / "out.zip", labels, "--csv", tmp_path / "each.csv")
    assert " 1.0000 " in run_and_judge(tmp_path, OK, "", "score", *words).stdout
    paths, settings = list_images(shapes), Folds(count=2)
    write_folds(tmp_path / "folds.csv", assign_folds(paths, settings))
    read = read_folds(tmp_path / "folds.csv", [p.name for p in paths], settings)
    assert read["image"].tolist() == [p.name for p in paths]
    assert {"NA", "null", "nan", "None"} <= set(read["class"])


@pytest.mark.parametrize("script", ["baseline", "score", "make_submission"])
def test_a_name_that_is_not_utf8_is_to_be_changed(script, tmp_path):
    shapes = tmp_path / "shapes"
    write(shapes / NOT_UTF8, GOOD_PNGS["grey"])
    words = {
        "baseline": ("compact", "--images", shapes, "--out", tmp_path / "out"),
        "score": (shapes, shapes),
        "make_submission": ("--images", shapes, "--out", tmp_path / "out", "--run", "{shipped}"),
    }[script]
    words = [REPOSITORY / "weights/geometry" if w == "{shipped}" else w for w in words]
    run_and_judge(tmp_path, "its name is not UTF-8; rename it", r"caf\udce9-1.png", script, *words)


def test_a_folder_whose_name_is_not_utf8_will_do(tmp_path):
    shapes = tmp_path / os.fsdecode(b"caf\xe9\n")
    write(shapes / "x.png", GOOD_PNGS["grey"])
    words = ("compact", "--images", shapes, "--out", tmp_path / "out")
    run_and_judge(tmp_path, OK, "", "baseline", *words)
    assert json.loads((tmp_path / "out.json").read_text())["images"]["folder"] == shapes.name


# ---------------------------------------------------------------------------------- folds


FOLDS = {
    "right": (lambda t: t, OK),
    "with a BOM": (lambda t: b"\xef\xbb\xbf" + t, OK),
    "with CRLF": (lambda t: t.replace(b"\n", b"\r\n"), OK),
    "quoted": (lambda t: b'"image"' + t[5:], OK),
    "no last line end": (lambda t: t.rstrip(b"\n"), OK),
    "empty": (lambda t: b"", "damaged"),
    "one line end": (lambda t: b"\n", "damaged"),
    "header alone": (lambda t: t.split(b"\n")[0] + b"\n", "15 images of the data set are missing"),
    "a row missing": (lambda t: b"\n".join(t.split(b"\n")[:-2]), "1 images of the data set"),
    "a row doubled": (lambda t: t + t.split(b"\n")[1] + b"\n", "listed more than once"),
    "a row unknown": (lambda t: t + b"x-1.png,x,99,0\n", "1 are not in it (x-1.png)"),
    "a row cut": (lambda t: t[:-4], "damaged"),
    "no fold": (lambda t: t.rstrip(b"\n")[:-1] + b"\n", "damaged"),
    "NaN": (lambda t: t.rstrip(b"\n")[:-1] + b"nan\n", "damaged"),
    "half a fold": (lambda t: t.rstrip(b"\n") + b".5\n", "damaged"),
    "text": (lambda t: t.rstrip(b"\n")[:-1] + b"two\n", "damaged"),
    "huge": (lambda t: t.rstrip(b"\n") + b"9" * 30 + b"\n", "damaged"),
    "fold 9": (lambda t: t.rstrip(b"\n")[:-1] + b"9\n", "expected 0 to 2"),
    "fold -1": (lambda t: t.rstrip(b"\n")[:-1] + b"-1\n", "expected 0 to 2"),
    "a column more": (lambda t: t.replace(b"\n", b",1\n"), "columns"),
    "a column less": (
        lambda t: b"\n".join(li.rpartition(b",")[0] for li in t.split(b"\n")),
        "columns",
    ),
    "other columns": (lambda t: t.replace(b"group", b"Group"), "columns"),
    "more fields in a row": (lambda t: t + b"a,b,1,2,3,4,5\n", "damaged"),
    "semicolons": (lambda t: t.replace(b",", b";"), "columns"),
    "binary": (lambda t: bytes(range(256)) * 9, "damaged"),
    "NUL": (lambda t: t[:60] + b"\0" + t[60:], "damaged"),
    "UTF-16": (lambda t: t.decode().encode("utf-16"), "damaged"),
    "Latin-1": (lambda t: t + b"caf\xe9-1.png,x,1,0\n", "damaged"),
    "a huge field": (lambda t: t + b"a" * 10**6 + b"-1.png,x,99,0\n", "1 are not in it"),
    "an open quote": (lambda t: t + b'"', "damaged"),
    "line feeds in a name": (lambda t: t + b'"a\n\nb.png",x,99,0\n', r"a\n\nb.png"),
    "a PNG": (lambda t: GOOD_PNGS["grey"], "damaged"),
}


@table(FOLDS)
def test_folds_are_right_or_refused(case, data_root, tmp_path):
    change, expected = case
    own = tiny_overrides(data_root, tmp_path)
    tiny = recipe.load("demo", own)
    path = folds_path(tiny)
    write_folds(path, assign_folds(list_images(data_root / "img_train_shape"), tiny.folds))
    path.write_bytes(change(path.read_bytes()))
    words = ("--recipe", "demo", "--set", *own)
    run_and_judge(tmp_path, expected, path.name, "make_folds", *words)


# ---------------------------------------------------------------------------------- recipes

LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}]\n" for a, b in zip("abcdefghi", "bcdefghij")
)
RECIPES = {
    "empty but for a parent": (b"parent: base\n", OK),
    "with a BOM": (b"\xef\xbb\xbfparent: base\n", OK),
    "with CRLF": (b"parent: base\r\ntrain:\r\n  epochs: 3\r\n", OK),
    "quoted": (b"{'parent': \"base\"}\n", OK),
    "empty": (b"", OK),
    "null": (b"null\n", OK),
    "a list": (b"- train\n", "expected sections with keys"),
    "a text": (b"just words\n", "expected sections with keys"),
    "a number": (b"17\n", "expected sections with keys"),
    "two documents": (b"parent: base\n---\nparent: cpu\n", "not readable as YAML"),
    "parent a list": (b"parent: [1]\n", "no recipe [1] in"),
    "parent a mapping": (b"parent: {a: b}\n", "no recipe {'a': 'b'} in"),
    "parent a number": (b"parent: 1\n", "no recipe 1 in"),
    "parent unknown": (b"parent: bass\n", "did you mean base?"),
    "parent with NUL": (b'parent: "a\\0b"\n', "no recipe a\\x00b in"),
    "parent very long": (b"parent: " + b"x" * 5000, "no recipe xxx"),
    "parent of a parent": (b"parent: cpu\n", "one level only"),
    "parent elsewhere": (b"parent: ../../etc/passwd\n", "no recipe ../../etc/passwd"),
    "key a number": (b"parent: base\n1: 2\n", "its key 1 is no text"),
    "key null": (b"parent: base\n~: 2\n", "its key None is no text"),
    "key a list": (b"parent: base\n? [a]\n: 2\n", "is no text"),
    "key doubled": (
        b"parent: base\ntrain: {epochs: 1}\ntrain: {epochs: 2}\n",
        "train is there twice",
    ),
    "key doubled below": (b"parent: base\ntrain:\n  lr: 1\n  lr: 2\n", "lr is there twice"),
    "key misspelt": (b"parent: base\ntrain: {epoch: 1}\n", "did you mean train.epochs?"),
    "section a list": (b"parent: base\ntrain: [1]\n", "train is [1]"),
    "section a number": (b"parent: base\ntrain: 7\n", "train is 7"),
    "section null": (b"parent: base\nmodel: ~\n", "model is None"),
    "a list for a number": (b"parent: base\ntrain: {epochs: [1]}\n", "train.epochs is [1]"),
    "a mapping for a number": (b"parent: base\ntrain: {lr: {a: 1}}\n", "train.lr is"),
    "a date": (b"parent: base\ntrain: {epochs: 2001-01-01}\n", "train.epochs is '2001-01-01'"),
    "a bad date": (b"parent: base\nname: 2001-99-99\n", OK),
    "infinite": (b"parent: base\ntrain: {lr: .inf}\n", "train.lr is inf"),
    "not a number": (b"parent: base\ntrain: {lr: .nan}\n", "train.lr is nan"),
    "huge": (b"parent: base\ntrain: {epochs: 1" + b"0" * 400 + b"}\n", "train.epochs is 1000"),
    "absurd": (b"parent: base\ntrain: {epochs: 1" + b"0" * 5000 + b"}\n", "not readable as YAML"),
    "negative": (b"parent: base\ntrain: {seed: -1}\n", "train.seed is -1"),
    "merged": (b"parent: base\n<<: {train: {lr: 1}}\n", "not readable as YAML"),
    "an alias": (b"parent: base\ntrain: &a {lr: 1}\nmodel: *a\n", "an alias, an anchor or a tag"),
    "an anchor": (b"parent: &a base\n", "an alias, an anchor or a tag"),
    "a thousand laughs": (LAUGHS.encode(), "an alias, an anchor or a tag"),
    "an alias of itself": (b"a: &a [*a]\n", "an alias, an anchor or a tag"),
    "a tag": (b"parent: !!str base\n", "an alias, an anchor or a tag"),
    "code": (b"name: !!python/object/apply:os.system ['touch {trace}']\n", "a tag"),
    "more code": (b"!!python/object/new:os.system ['touch {trace}']\n", "a tag"),
    "deep": (b"a: " + DEEP.encode(), "nested too deeply"),
    "deep mappings": (b"".join(b" " * i + b"a:\n" for i in range(200)), "nested too deeply"),
    "binary": (bytes(range(256)), "not readable as YAML"),
    "UTF-16": ("parent: base\n".encode("utf-16"), "not readable as YAML"),
    "NUL": (b"parent: base\n\0", "not readable as YAML"),
    "tabs": (b"train:\n\tepochs: 1\n", "not readable as YAML"),
    "open bracket": (b"train: {epochs: [1\n", "not readable as YAML"),
    "long": (b"# " + b"x" * 200_000, "it is too long"),
    "many unknown keys": (b"".join(b"k%d: 1\n" % i for i in range(3000)), "more"),
    "a very long value": (b"parent: base\nname: " + b"x" * 50_000, "name is 'xxx"),
    "a very long key": (b"parent: base\n? " + b"x" * 50_000 + b"\n: 1\n", "unknown key xxx"),
    "a PNG": (GOOD_PNGS["grey"], "not readable as YAML"),
}


@table(RECIPES)
def test_a_recipe_is_understood_or_refused(case, data_root, tmp_path):
    content, expected = case
    trace = tmp_path / "trace"
    path = write(tmp_path / "mine.yaml", content.replace(b"{trace}", str(trace).encode()))
    own = (f"data.root={data_root}", f"machine.cache={tmp_path / 'cache'}")
    run_and_judge(tmp_path, expected, "mine.yaml", "check_input", "--recipe", path, "--set", *own)
    assert not trace.exists()


OVERRIDES = {
    "nothing": ("", "is no override"),
    "no value": ("train.epochs", "is no override"),
    "no key": ("=3", "is no override"),
    "dots": ("..=3", "unknown key"),
    "an empty section": (".epochs=3", "unknown key"),
    "below the name": ("name.x=3", "name is a value and has no keys below it"),
    "below a value": ("train.lr.x=3", "lr is a value and has no keys below it"),
    "name empty": ("name=", OK),
    "name of spaces": ("name='  '", "name is '  '"),
    "name with a slash": ("name=a/b", "name is 'a/b'"),
    "name upwards": ("name=..", "name is '..'"),
    "name far upwards": ("name=../../x", "name is '../../x'"),
    "name absolute": ("name=/tmp/x", "name is '/tmp/x'"),
    "name backwards": (r"name=..\x", "name is"),
    "name hidden": ("name=.x", "name is '.x'"),
    "name an option": ("name=-x", "name is '-x'"),
    "name with a query": ("name=a?b", "name is 'a?b'"),
    "name with a line end": (r'name="a\nb"', r"name is 'a\nb'"),
    "name of 300": ("name=" + "x" * 300, "name is 'xxx"),
    "name a list": ("name=[a, b]", "name is"),
    "name a mapping": ("name={a: b}", "name is"),
    "name in Greek": ("name=σκελετός 2", OK),
    "encoder from a hub": ("model.encoder=tu-hf_hub:someone/something", "model.encoder is"),
    "encoder from a folder": ("model.encoder=tu-local-dir:/tmp/x", "model.encoder is"),
    "encoder of giants": ("model.encoder=resblock999999", "model.encoder is"),
    "blocks without end": ("model.blocks=1000000", "model.blocks is"),
    "open list": ("train.folds=[0", "not readable as YAML"),
    "an alias": ("train.folds=*a", "an alias, an anchor or a tag"),
    "code": ("name=!!python/object/apply:os.getcwd []", "an alias, an anchor or a tag"),
    "deep": (f"train.folds={DEEP}", "nested too deeply"),
    "infinite": ("train.lr=.inf", "train.lr is inf"),
    "a text with NUL": (r'data.train_shapes="a\0b"', "data.train_shapes is"),
    "a megabyte": ("train.lr=" + "9" * 120_000, "it is too long"),
    "a kind of nothing": ("input.kind=", "input.kind is"),
}


@table(OVERRIDES)
def test_an_override_is_understood_or_refused(case, data_root, tmp_path):
    override, expected = case
    own = (f"data.root={data_root}", f"machine.cache={tmp_path / 'cache'}", override)
    run_and_judge(tmp_path, expected, "", "check_input", "--recipe", "demo", "--set", *own)


# ---------------------------------------------------------------------------------- what is trained


@dataclass(frozen=True)
class Trained:
    """A tiny run and a tiny selection, never changed; tests work on copies."""

    folder: Path
    data_root: Path

    def copy(self, folder: Path) -> list[str]:
        """Everything in another folder; returns the overrides for it."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        return tiny_overrides(self.data_root, folder)

    @property
    def run(self) -> Path:
        return next(self.folder.glob("runs/*"))


@pytest.fixture(scope="module")
def trained(data_root, tmp_path_factory) -> Trained:
    folder = tmp_path_factory.mktemp("trained")
    own = ("--recipe", "demo", "--set", *tiny_overrides(data_root, folder), "train.epochs=1")
    for script, *words in (["make_folds"], ["train", "--fold", "0"]):
        done = run_script(script, *words, *own)
        assert done.code == 0, done.stderr
    write(folder / "shapes" / "x.png", GOOD_PNGS["grey"])
    shapes = [read_grey(p) for p in list_images(data_root / "img_train_shape")]
    features = selection.describe([ShapeGeometry(shape) for shape in shapes])
    f1 = np.random.default_rng(0).random((len(shapes), len(CANDIDATES)))
    names = [str(i) for i in range(len(shapes))]
    chosen = selection.fit(features, names, f1, Selection(trees=5))
    facts = {"settings": {}, "f1_cross_fitted": 0.5, "commit": "", "finished_at": ""}
    stored = recipe.load("geometry").stored()
    selection.save(chosen, folder / "geometry", facts | {"recipe": stored})
    return Trained(folder, data_root)


def train_words(own: list[str]) -> tuple:
    return ("train", "--fold", "0", "--recipe", "demo", "--set", *own, "train.epochs=1")


def torch_file(content: object) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


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
    "another zip": (lambda c, trace: zipped([("x.png", GOOD_PNGS["grey"])]), "damaged checkpoint"),
    "no tensors": (
        lambda c, trace: rezipped(c, lambda n, old: None if "/data/" in n else old),
        "damaged checkpoint",
    ),
    "a hostile pickle": (lambda c, trace: hostile_pickle(trace), "BadZipFile"),
    "a hostile checkpoint": (
        hostile_checkpoint_of := lambda c, trace: hostile_checkpoint(trace, c),
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
    "a list for a model": (lambda c, trace: changed(c, model=[1]), "damaged checkpoint"),
    "a list for an optimizer": (lambda c, trace: changed(c, optimizer=[1]), "damaged checkpoint"),
    "no parameters": (lambda c, trace: changed(c, optimizer={}), "damaged checkpoint"),
    "another shape": (lambda c, trace: changed(c, model=first_of(c, "model")), "RuntimeError"),
    "no weights": (lambda c, trace: changed(c, model={}), "damaged checkpoint (RuntimeError)"),
}


@table(CHECKPOINTS)
def test_a_checkpoint_is_continued_or_refused(case, trained, tmp_path):
    change, expected = case
    own, trace = trained.copy(tmp_path), tmp_path / "trace"
    fold = next(tmp_path.glob("runs/*/fold-0"))
    (fold / "done.json").unlink()
    write(fold / "checkpoint.pt", change((fold / "checkpoint.pt").read_bytes(), trace))
    run_and_judge(tmp_path, expected, "checkpoint.pt", *train_words(own))
    assert not trace.exists()


def edited(**values):
    """JSON with other values; `...` leaves a key out."""

    def change(content: bytes, trace: Path) -> bytes:
        merged = json.loads(content) | values
        return json.dumps({k: v for k, v in merged.items() if v is not ...}).encode()

    return change


BROKEN_JSON = {
    "empty": lambda c, trace: b"",
    "a list": lambda c, trace: b"[]",
    "an empty object": lambda c, trace: b"{}",
    "null": lambda c, trace: b"null",
    "a number": lambda c, trace: b"17",
    "half": lambda c, trace: c[: len(c) // 2],
    "binary": lambda c, trace: bytes(range(256)),
    "UTF-16": lambda c, trace: c.decode().encode("utf-16"),
    "deep": lambda c, trace: DEEP.encode(),
    "deep objects": lambda c, trace: b'{"a":' * 5000,
    "a pickle": lambda c, trace: hostile_pickle(trace),
}


def recipe_with(section: str, **values):
    """`training.json` or `config.json` whose recipe differs."""

    def change(content: bytes, trace: Path) -> bytes:
        facts = json.loads(content)
        facts["recipe"][section] = facts["recipe"].get(section, {}) | values
        return json.dumps(facts).encode()

    return change


FACTS, WEIGHTS, CONFIG = "model/training.json", "model/model.safetensors", "model/config.json"
MODELS = {f"{FACTS}: {k}": (FACTS, change, "damaged") for k, change in BROKEN_JSON.items()}
MODELS |= {f"{CONFIG}: {k}": (CONFIG, change, OK) for k, change in BROKEN_JSON.items()}
MODELS |= {
    "right": (FACTS, lambda c, t: c, OK),
    "older, without a checksum": (FACTS, edited(sha256=...), OK),
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
    "a pickle beside": ("model/pytorch_model.bin", lambda c, t: hostile_pickle(t), OK),
}


def test_a_recipe_from_elsewhere_does_not_say_where_to_write(trained, tmp_path):
    trained.copy(tmp_path)
    model, geometry = next(tmp_path.glob("runs/*/fold-0/model")), tmp_path / "geometry"
    for path in (model / "training.json", geometry / selection.CONFIG):
        change = recipe_with("machine", submissions="/etc", runs="/etc", cache="/etc")
        write(path, change(path.read_bytes(), tmp_path))
    assert load_model(model, CPU).recipe.machine == recipe.Machine()
    assert "machine" not in selection.load(geometry)[1]["recipe"]


@table(MODELS)
def test_a_model_is_used_or_refused(case, trained, tmp_path):
    name, change, expected = case
    trained.copy(tmp_path)
    trace, path = tmp_path / "trace", next(tmp_path.glob("runs/*/fold-0")) / name
    content = path.read_bytes() if path.exists() else b""
    write(path, change(content, trace))
    words = ("--run", path.parents[2], "--images", tmp_path / "shapes", "--out", tmp_path / "out")
    named = {"damaged model": WEIGHTS, "cannot be built": "resnut5"}.get(expected, name)
    run_and_judge(tmp_path, expected, Path(named).name, "make_submission", *words)
    assert not trace.exists()


WEIGHTS_WITHOUT_CHECKSUM = {
    "empty": lambda c, t: b"",
    "half": lambda c, t: c[: len(c) // 2],
    "header of noise": lambda c, t: b"\xff" * 8 + c[8:],
    "a bit of the header": lambda c, t: flipped(c, 12),
    "a hostile pickle": lambda c, t: hostile_pickle(t),
    "a hostile checkpoint": lambda c, t: hostile_checkpoint(t, torch_file({"a": torch.zeros(1)})),
    "not numbers": lambda c, t: c[:-400] + b"\xff" * 400,
}


@table(WEIGHTS_WITHOUT_CHECKSUM)
def test_older_weights_are_used_or_refused_too(case, trained, tmp_path):
    trained.copy(tmp_path)
    model, trace = next(tmp_path.glob("runs/*/fold-0/model")), tmp_path / "trace"
    write(
        model / "training.json", edited(sha256=...)((model / "training.json").read_bytes(), trace)
    )
    path = model / "model.safetensors"
    write(path, case(path.read_bytes(), trace))
    words = ("--run", model.parents[1], "--images", tmp_path / "shapes", "--out", tmp_path / "out")
    run_and_judge(tmp_path, "damaged model", path.name, "make_submission", *words)
    assert not trace.exists()


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
THRESHOLDS = {k: (change, "damaged") for k, change in BROKEN_JSON.items()} | {
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
def test_a_threshold_is_used_or_refused(case, trained, tmp_path):
    change, expected = case
    trained.copy(tmp_path)
    run, trace = next(tmp_path.glob("runs/*")), tmp_path / "trace"
    write(run / "threshold.json", change(json.dumps(THRESHOLD).encode(), trace))
    words = ("--run", run, "--images", tmp_path / "shapes", "--out", tmp_path / "out")
    run_and_judge(tmp_path, expected, "threshold.json", "make_submission", *words)
    assert not trace.exists()


MARKS = BROKEN_JSON | {"no outputs": edited(outputs={}), "outputs a list": edited(outputs=[])}
MARKS |= {"another": edited(identity="x"), "a number": edited(identity=5)}


def test_a_damaged_mark_of_a_finished_fold_counts_as_none(trained, tmp_path):
    own = trained.copy(tmp_path)
    fold, trace = next(tmp_path.glob("runs/*/fold-0")), tmp_path / "trace"
    content = (fold / "done.json").read_bytes()
    identity = json.loads(content)["identity"]
    assert is_done(fold, identity)
    for name, change in MARKS.items():
        write(fold / "done.json", change(content, trace))
        assert not is_done(fold, identity), name
        words = ("--run", fold.parent, "--images", tmp_path / "shapes", "--out", tmp_path / "out")
        if name in BROKEN_JSON:
            run_and_judge(tmp_path, "fold 0 is not trained", "runs/", "make_submission", *words)
    done = run_and_judge(tmp_path, OK, "", *train_words(own))
    assert "skipped" not in done.stdout and "continues in epoch 2" in done.stdout
    assert is_done(fold, identity)


TUNED = {"loss": {"focal": 7.0}}
TUNED_LOSSES = {
    k: (change, "the loss search has not ended") for k, change in BROKEN_JSON.items()
} | {
    "a list for a loss": (edited(loss=[1]), "the loss search has not ended"),
    "an unknown weight": (edited(loss={"focall": 1}), "unknown key focall"),
    "a negative weight": (edited(loss={"focal": -1}), "focal is -1"),
    "no number": (edited(loss={"focal": float("nan")}), "focal is nan"),
}


@table(TUNED_LOSSES)
def test_a_tuned_loss_is_used_or_refused(case, trained, tmp_path):
    change, expected = case
    own, trace = trained.copy(tmp_path), tmp_path / "trace"
    fold = next(tmp_path.glob("runs/*/fold-0"))
    write(fold / "tuned_loss.json", change(json.dumps(TUNED).encode(), trace))
    words = train_words([*own, "loss.tuned=true"])
    run_and_judge(tmp_path, expected, "tuned_loss.json", *words)


def arrays(**values) -> bytes:
    file = io.BytesIO()
    np.savez(file, **values)
    return file.getvalue()


LEVELS, FIVE = np.zeros((5, 256, 256), np.uint8), np.array(list("abcde"))
HELD_OUT = {
    "empty": lambda c, t: b"",
    "text": lambda c, t: b"no arrays",
    "half": lambda c, t: c[: len(c) // 2],
    "a bit": lambda c, t: flipped(c, len(c) // 2),
    "a hostile pickle": lambda c, t: hostile_pickle(t),
    "an array": lambda c, t: _saved(LEVELS),
    "no names": lambda c, t: arrays(levels=LEVELS),
    "names as objects": lambda c, t: arrays(names=np.array([{}] * 5, object), levels=LEVELS),
    "numbers for names": lambda c, t: arrays(names=np.arange(5), levels=LEVELS),
    "floats for levels": lambda c, t: arrays(names=FIVE, levels=LEVELS.astype(float)),
    "flat levels": lambda c, t: arrays(names=FIVE, levels=LEVELS[:, 0]),
    "fewer names": lambda c, t: arrays(names=FIVE[:4], levels=LEVELS),
    "nothing": lambda c, t: arrays(names=FIVE[:0], levels=LEVELS[:0]),
}


def _saved(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@table(HELD_OUT)
def test_held_out_probabilities_are_refused_when_damaged(case, trained, tmp_path):
    own, trace = trained.copy(tmp_path), tmp_path / "trace"
    path = next(tmp_path.glob("runs/*/fold-0")) / "held_out.npz"
    write(path, case(path.read_bytes(), trace))
    words = ("--recipe", "demo", "--set", *own, "train.epochs=1")
    run_and_judge(tmp_path, "train the fold again", "held_out.npz", "tune_threshold", *words)
    assert not trace.exists()


MAPS = {
    "empty": lambda c, t: b"",
    "half": lambda c, t: c[: len(c) // 2],
    "a bit": lambda c, t: flipped(c, len(c) // 2),
    "a bit of the header": lambda c, t: flipped(c, 9),
    "foreign": lambda c, t: _saved(LEVELS),
    "a hostile pickle": lambda c, t: hostile_pickle(t),
}
MAPS = {f"maps: {k}": (".npy", change) for k, change in MAPS.items()}
MAPS |= {f"stamp: {k}": (".json", change) for k, change in BROKEN_JSON.items()}
MAPS |= {
    "stamp: a list of outputs": (".json", edited(outputs=[])),
    "stamp: a number for a digest": (".json", edited(digest=5)),
}


@table(MAPS)
def test_damaged_maps_are_made_again(case, trained, tmp_path):
    suffix, change = case
    own, trace = trained.copy(tmp_path), tmp_path / "trace"
    (path,) = tmp_path.glob(f"cache/maps/*/img_train_shape/*{suffix}")
    content = path.read_bytes()
    write(path, change(content, trace))
    words = ("--recipe", "demo", "--set", *own)
    done = run_and_judge(tmp_path, OK, "", "make_distance_maps", *words)
    assert "img_train_shape/repaired_distance_25px.npy is outdated or damaged" in done.stdout
    assert path.read_bytes() == content and not trace.exists()


# ---------------------------------------------------------------------------------- forests


def forest_of(make) -> object:
    """Another skops file with its right checksum in the configuration."""

    def change(folder: Path, trace: Path) -> None:
        make(folder / selection.FOREST, trace)
        config = json.loads((folder / selection.CONFIG).read_bytes())
        config["sha256"] = sha256_of(folder / selection.FOREST)
        (folder / selection.CONFIG).write_text(json.dumps(config))

    return change


def config_of(change):
    return lambda folder, trace: write(
        folder / selection.CONFIG, change((folder / selection.CONFIG).read_bytes(), trace)
    )


def dumped(path: Path, model: object) -> None:
    skops.io.dump(model, path)


def endless_forest(path: Path, trace: Path) -> None:
    """A forest in which a child is its own grandparent."""
    forest = ExtraTreesClassifier(3, random_state=0).fit(np.eye(60)[:, :40], np.arange(60) % 5)
    forest.n_features_in_ = 40
    tree = forest.estimators_[0].tree_
    state = tree.__getstate__()
    nodes = state["nodes"].copy()
    nodes["left_child"][0] = 0
    tree.__setstate__(state | {"nodes": nodes})
    dumped(path, forest)


FORESTS = {f"config: {k}": (config_of(change), "damaged") for k, change in BROKEN_JSON.items()} | {
    "right": (lambda folder, trace: None, OK),
    "no columns": (config_of(edited(columns=...)), "damaged"),
    "no score": (config_of(edited(f1_cross_fitted=...)), "damaged"),
    "a text for a score": (config_of(edited(f1_cross_fitted="x")), "damaged"),
    "an empty recipe": (config_of(edited(recipe={})), "name is missing"),
    "a list for a recipe": (config_of(edited(recipe=[])), "damaged"),
    "a folder to write": (config_of(recipe_with("machine", submissions="/etc")), OK),
    "other candidates": (config_of(edited(candidates=["a"])), "made for other candidates"),
    "other columns": (config_of(edited(columns=["a"])), "no forest for these features"),
    "another checksum": (config_of(edited(sha256="0")), "damaged or replaced"),
    "a bit": (
        lambda folder, trace: write(
            folder / selection.FOREST, flipped((folder / selection.FOREST).read_bytes(), 3000)
        ),
        "damaged or replaced",
    ),
    "empty": (forest_of(lambda p, t: write(p, b"")), "damaged"),
    "text": (forest_of(lambda p, t: write(p, b"no forest")), "damaged"),
    "half": (forest_of(lambda p, t: write(p, p.read_bytes()[:5000])), "damaged"),
    "a hostile pickle": (forest_of(lambda p, t: write(p, hostile_pickle(t))), "damaged"),
    "another zip": (forest_of(lambda p, t: write(p, zipped([("a.png", b"")]))), "damaged"),
    "broken schema": (
        forest_of(lambda p, t: write(p, zipped([("schema.json", b"[]")]))),
        "damaged",
    ),
    "a function": (
        forest_of(lambda p, t: dumped(p, FunctionTransformer(os.system))),
        "not a plain",
    ),
    "an array": (forest_of(lambda p, t: dumped(p, np.zeros(3))), "no forest for these features"),
    "not fitted": (forest_of(lambda p, t: dumped(p, ExtraTreesClassifier())), "no forest for"),
    "of other features": (
        forest_of(lambda p, t: dumped(p, ExtraTreesClassifier(2).fit(np.eye(4), [0, 1, 0, 1]))),
        "no forest for these features",
    ),
    "endless": (forest_of(endless_forest), "no forest for these features"),
}


@table(FORESTS)
def test_a_forest_decides_or_is_refused(case, trained, tmp_path):
    change, expected = case
    trained.copy(tmp_path)
    trace, folder = tmp_path / "trace", tmp_path / "geometry"
    change(folder, trace)
    words = ("--run", folder, "--images", tmp_path / "shapes", "--out", tmp_path / "out")
    run_and_judge(tmp_path, expected, "geometry", "make_submission", *words)
    assert not trace.exists()


# ---------------------------------------------------------------------------------- zips

RIGHT = encode(shape_mask())


def doubled(content: bytes) -> bytes:
    with pytest.warns(UserWarning, match="Duplicate"):
        return zipped([("x.png", content), ("x.png", content)])


def encrypted() -> bytes:
    content = bytearray(zipped([("x.png", RIGHT)]))
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(signature) + offset] |= 1
    return bytes(content)


def packed_unknown() -> bytes:
    content = bytearray(zipped([("x.png", RIGHT)]))
    for signature, offset in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
        content[content.index(signature) + offset] = 99
    return bytes(content)


STORED = zipped([("x.png", RIGHT)], zipfile.ZIP_STORED)
DEFLATED = zipped([("x.png", bytes(5000) + RIGHT)])
BOMB = zipped([("x.png", bytes(100_000_000))])
ZIPS = {
    "right": (lambda: STORED, OK),
    "with a readme": (lambda: zipped([("x.png", RIGHT), ("readme.txt", b"hello")]), OK),
    "in 0 and 1": (lambda: zipped([("x.png", png(shape_mask()))]), OK),
    "an icon": (lambda: zipped([("x.png", GOOD_PNGS["RGBA, an icon"])]), OK),
    "empty": (lambda: b"", "not a readable zip"),
    "text": (lambda: b"no zip", "not a readable zip"),
    "a PNG": (lambda: RIGHT, "not a readable zip"),
    "no members": (lambda: zipped([]), "holds no PNG"),
    "no PNG": (lambda: zipped([("x.txt", b"")]), "holds no PNG"),
    "half": (lambda: STORED[: len(STORED) // 2], "not a readable zip"),
    "no end": (lambda: STORED[:-10], "not a readable zip"),
    "a bit of a member": (lambda: flipped(STORED, 60), "not a readable zip"),
    "a bit of a packed member": (lambda: flipped(DEFLATED, 45), "not a readable zip"),
    "a bit of the directory": (
        lambda: flipped(STORED, STORED.rindex(b"PK\1\2") + 1),
        "readable zip",
    ),
    "in a folder": (lambda: zipped([("made/x.png", RIGHT)]), "made/x.png lies in a folder"),
    "upwards": (lambda: zipped([("../x.png", RIGHT)]), "../x.png lies in a folder"),
    "absolute": (lambda: zipped([("/tmp/x.png", RIGHT)]), "/tmp/x.png lies in a folder"),
    "a line feed": (lambda: zipped([("a\nb/x.png", RIGHT)]), r"a\nb/x.png lies in a folder"),
    "doubled": (lambda: doubled(RIGHT), "x.png is there twice"),
    "encrypted": (encrypted, "not a readable zip"),
    "packed in unknown ways": (packed_unknown, "not a readable zip"),
    "a bomb": (lambda: BOMB, "would unpack to 100,000,000 bytes"),
    "another name": (lambda: zipped([("y.png", RIGHT)]), "predictions missing: 1 (x.png)"),
    "one more": (lambda: zipped([("x.png", RIGHT), ("y.png", RIGHT)]), "label: 1 (y.png)"),
    "another size": (lambda: zipped([("x.png", png(np.eye(8)))]), "x.png: prediction is (8, 8)"),
    "a member of text": (lambda: zipped([("x.png", b"hello")]), "x.png: is not a PNG"),
    "an empty member": (lambda: zipped([("x.png", b"")]), "x.png: is empty"),
    "a JPEG": (lambda: zipped([("x.png", encoded(".jpg"))]), "x.png: is not a PNG"),
    "a member cut off": (lambda: zipped([("x.png", RIGHT[:-9])]), "x.png: damaged PNG"),
    "a header's bomb": (
        lambda: zipped([("x.png", BROKEN_PNGS["bomb in the header"][0])]),
        "x.png: is 20000×20000",
    ),
}


@table(ZIPS)
def test_a_submission_is_scored_or_refused(case, tmp_path):
    make, expected = case
    path = write(tmp_path / "mine.zip", make())
    write(tmp_path / "labels" / "x.png", RIGHT)
    words = (path, tmp_path / "labels", "--csv", tmp_path / "each.csv")
    named = "" if expected and ("prediction" in expected or "label" in expected) else "mine.zip"
    done = run_and_judge(tmp_path, expected, named, "score", *words)
    assert expected is not OK or " 1.0000 " in done.stdout


def test_a_million_large_images_are_not_all_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("canet.submission.MOST_PIXELS_READ", 3 * 40 * 56 - 1)
    for name in "abc":
        write(tmp_path / f"{name}.png", RIGHT)
    with pytest.raises(UserError, match="too large to be skeletons"):
        read_submission(tmp_path)


# ---------------------------------------------------------------------------------- generated

EDIT = st.tuples(
    st.sampled_from(["flip", "set", "cut", "delete", "insert", "double"]),
    st.floats(0, 1),
    st.integers(0, 255),
    st.integers(1, 40),
)
FUZZ = settings(
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def mutated(content: bytes, edits: list[tuple[str, float, int, int]]) -> bytes:
    """Content after flips, cuts, insertions and the like at relative places."""
    for kind, place, value, length in edits:
        k = int(place * max(0, len(content) - 1))
        head, tail = content[:k], content[k:]
        if kind == "flip" and content:
            content = flipped(content, k, value % 8)
        elif kind == "set":
            content = head + bytes([value]) + tail[1:]
        elif kind == "cut":
            content = head
        elif kind == "delete":
            content = head + tail[length:]
        elif kind == "insert":
            content = head + bytes([value]) * length + tail
        elif kind == "double":
            content = head + tail[:length] + tail
    return content


def rechunked(content: bytes, edits: list) -> bytes:
    """A PNG that is changed within its chunks and has right checksums: past the first defence."""
    from broken_files import chunk

    position, out = 8, content[:8]
    while position < len(content):
        length = int.from_bytes(content[position : position + 4])
        name, body = content[position + 4 : position + 8], content[position + 8 :][:length]
        mine = [e for k, e in enumerate(edits) if (position + k) % 3 == 0]
        out += chunk(name, mutated(body, mine))
        position += 12 + length
    return out


@dataclass(frozen=True)
class Reader:
    """What reads one kind of file: `read` gets its path; others beside it stay right."""

    path: Path
    read: object
    change: object = mutated

    def judge(self, edits: list) -> str:
        """`read`, or `refused`, after changes; anything else is an error of the test.

        The file is put back.
        """
        content = self.path.read_bytes()
        self.path.write_bytes(self.change(content, edits))
        try:
            self.read(self.path)
        except UserError as error:
            message = str(error)
            assert "\n" not in message and message.isprintable() and len(message) < 1500, message
            assert self.path.name in message or self.path.parent.name in message, message
            return "refused"
        finally:
            self.path.write_bytes(content)
        return "read"


def readers(trained: Trained, folder: Path) -> dict[str, Reader]:
    """A reader of each kind, over copies in a folder."""
    own = trained.copy(folder)
    tiny = recipe.load("demo", [*own, "train.epochs=1"])
    fold = next(folder.glob("runs/*/fold-0"))
    names = [p.name for p in list_images(ImageFolders(tiny.data_root, tiny.data).train_shapes)]
    state = start(tiny, CPU)
    identity = torch.load(fold / "checkpoint.pt", weights_only=True)["identity"]
    model, geometry = fold / "model", folder / "geometry"
    older = folder / "older"
    shutil.copytree(model, older)
    facts = (older / "training.json").read_bytes()
    write(older / "training.json", edited(sha256=...)(facts, folder))
    varied = {"grey": "grey", "alpha": "RGBA, an icon", "palette": "palette, white on clear"}
    varied |= {"interlaced": "interlaced, 16 bits", "animated": "animated"}
    paths = {k: write(folder / f"{k}.png", GOOD_PNGS[name]) for k, name in varied.items()}
    threshold = write(folder / "threshold.json", json.dumps(THRESHOLD).encode())
    submission = write(folder / "mine.zip", zipped([("x.png", RIGHT), ("y.png", RIGHT)]))
    text = write(folder / "mine.yaml", (REPOSITORY / "pipelines" / "demo.yaml").read_bytes())
    found = {f"PNG, {k}": Reader(p, read_grey) for k, p in paths.items()}
    found |= {
        f"PNG, {k}, checksums right": Reader(p, read_grey, rechunked) for k, p in paths.items()
    }
    return found | {
        "folds": Reader(folds_path(tiny), lambda p: read_folds(p, names, tiny.folds)),
        "recipe": Reader(text, lambda p: recipe.load(str(p))),
        "checkpoint": Reader(fold / "checkpoint.pt", lambda p: state.restore(p, identity, CPU)),
        "weights": Reader(model / "model.safetensors", lambda p: load_model(model, CPU)),
        "older weights": Reader(older / "model.safetensors", lambda p: load_model(older, CPU)),
        "facts of a model": Reader(model / "training.json", lambda p: load_model(model, CPU)),
        "threshold": Reader(threshold, read_threshold),
        "held out": Reader(fold / "held_out.npz", read_held_out),
        "forest": Reader(geometry / selection.FOREST, lambda p: selection.load(geometry)),
        "facts of a forest": Reader(
            geometry / selection.CONFIG, lambda p: selection.load(geometry)
        ),
        "zip": Reader(submission, read_submission),
    }


KINDS = [f"PNG, {k}" for k in ("grey", "alpha", "palette", "interlaced", "animated")]
KINDS += [f"{k}, checksums right" for k in KINDS]
KINDS += ["folds", "recipe", "checkpoint", "weights", "older weights", "facts of a model"]
KINDS += ["threshold", "held out", "forest", "facts of a forest", "zip"]
EXAMPLES = 25  # of each kind


@pytest.fixture(scope="module")
def all_readers(trained, tmp_path_factory) -> dict[str, Reader]:
    return readers(trained, tmp_path_factory.mktemp("readers"))


@pytest.mark.parametrize("kind", KINDS)
def test_generated_damage_is_understood_or_refused(kind, all_readers, capfd):
    assert all_readers.keys() == set(KINDS)
    reader, outcomes = all_readers[kind], set()

    @settings(FUZZ, max_examples=EXAMPLES)
    @given(st.lists(EDIT, min_size=1, max_size=4))
    def check(edits):
        outcomes.add(reader.judge(edits))

    assert reader.judge([]) == "read"
    check()
    assert "refused" in outcomes
    assert capfd.readouterr().err == ""  # no library complains past us


# ---------------------------------------------------------------------------------- the count

TABLES = [
    GOOD_PNGS,
    BROKEN_PNGS,
    HARMLESS_PNGS,
    NAMES,
    FOLDS,
    RECIPES,
    OVERRIDES,
    CHECKPOINTS,
    MODELS,
]
TABLES += [MARKS, WEIGHTS_WITHOUT_CHECKSUM, THRESHOLDS, TUNED_LOSSES, HELD_OUT, MAPS, FORESTS, ZIPS]
HAND_MADE = sum(len(cases) for cases in TABLES)
GENERATED = EXAMPLES * len(KINDS)


def test_there_are_hundreds_of_inputs():
    print(f"{HAND_MADE} made by hand, {GENERATED} generated")
    assert HAND_MADE >= 400 and GENERATED >= 400


# ---------------------------------------------------------------------------------- the checks


def test_the_judge_notices_what_it_should(tmp_path, monkeypatch):
    """Each promise of `run_and_judge`, broken on purpose."""
    broken = {
        "a traceback": Finished(1, "", "Traceback (most recent call last):\nValueError: x.png\n"),
        "success": Finished(0, "", ""),
        "two lines": Finished(1, "", "libpng error: no\nerror: x.png: bad\n"),
        "no name": Finished(1, "", "error: bad\n"),
        "another problem": Finished(1, "", "error: x.png: good\n"),
        "a signal": Finished(-11, "", ""),
        "a novel": Finished(1, "", "error: x.png: bad" + "!" * 2000 + "\n"),
    }
    for done in broken.values():
        monkeypatch.setattr("test_malformed.run_script", lambda *words, done=done: done)
        with pytest.raises(AssertionError):
            run_and_judge(tmp_path, "bad", "x.png", "score")
    right = Finished(1, "", "error: x.png: bad\n")
    monkeypatch.setattr("test_malformed.run_script", lambda *words: right)
    assert run_and_judge(tmp_path, "bad", "x.png", "score") == right
    monkeypatch.setattr(
        "test_malformed.run_script", lambda *words: write(tmp_path / "half", b"") and right
    )
    with pytest.raises(AssertionError):
        run_and_judge(tmp_path, "bad", "x.png", "score")


def test_the_hostile_files_would_run_code(tmp_path):
    import pickle

    trace = tmp_path / "trace"
    pickle.loads(hostile_pickle(trace))
    assert trace.exists()
    trace.unlink()
    checkpoint = write(tmp_path / "c.pt", hostile_checkpoint(trace, torch_file({"a": 1})))
    torch.load(checkpoint, weights_only=False)
    assert trace.exists()


def test_a_limit_is_a_matter_of_pixels_not_of_files(tmp_path, monkeypatch):
    monkeypatch.setattr(png_code, "MOST_PIXELS", 40 * 56)
    assert read_grey(write(tmp_path / "a.png", GOOD_PNGS["grey"])).shape == (40, 56)
    with pytest.raises(UserError, match="at most 2,240 pixels"):
        read_grey(write(tmp_path / "a.png", png(np.ones((41, 56)))))
