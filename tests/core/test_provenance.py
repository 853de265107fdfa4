"""Where results come from: which code they depend on, and whether they are current."""

import shutil

import numpy as np
import pytest
from tiny import tiny_recipe, write_tiny_folds

from canet.core import provenance
from canet.core.provenance import Stamp, code_digest, code_files
from canet.core.recipe import Recipe
from canet.data.data_set import DataSet
from canet.data.map_cache import MapCache
from canet.data.training_set import TrainingSet
from canet.geometry import masks
from canet.training.fold import training_fingerprint
from canet.training.origin import training_code

MAPS = "canet.data.input_maps"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the package, to change, that digests of code are taken of."""
    copy = tmp_path / "canet"
    shutil.copytree(provenance.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(provenance, "PACKAGE", copy)
    code_files.cache_clear()
    yield copy
    code_files.cache_clear()


def names(*modules: str) -> set[str]:
    return {p.relative_to(provenance.PACKAGE).as_posix() for p in code_files(*modules)}


def change(path) -> None:
    path.write_text(path.read_text() + "# changed\n")
    code_files.cache_clear()


def test_code_is_that_of_all_modules_imported_directly_or_not():
    of_maps = {"geometry/masks.py", "geometry/compact.py", "geometry/outline.py"}
    assert names(MAPS) >= {"data/input_maps.py", "geometry/__init__.py", "__init__.py", *of_maps}
    assert not {n for n in names(MAPS) if n.startswith(("training/", "network/", "inference/"))}
    assert names("canet.data.map_cache") >= names(MAPS) | {"core/images.py"}
    assert names("canet.data.map_cache") == names("canet.data.map_cache", MAPS)
    assert all(p.is_file() for p in code_files("canet.training.fold"))


def test_every_form_of_an_import_is_followed(package):
    lines = [
        "import numpy, canet.a.plain",
        "from canet.a import module, NAME",
        "from canet.a.inside import thing",
        "def late():",
        "    from canet.a.late import something",
    ]
    (package / "a").mkdir()
    (package / "begin.py").write_text("\n".join(lines))
    for name in ("__init__", "plain", "module", "inside", "late", "stranger"):
        (package / "a" / f"{name}.py").write_text("")
    (package / "a" / "plain.py").write_text("import canet.begin")  # in a circle
    found = {"__init__.py", "begin.py", *(f"a/{n}.py" for n in ("__init__", "plain", "module"))}
    assert names("canet.begin") == found | {"a/inside.py", "a/late.py"}


@pytest.mark.parametrize(
    ("changed", "differs"),
    [
        ("geometry/masks.py", True),
        ("geometry/compact.py", True),
        ("geometry/outline.py", True),
        ("data/input_maps.py", True),
        ("__init__.py", True),
        ("training/trainer.py", False),
        ("training/relabel.py", False),
        ("data/folds.py", False),
    ],
)
def test_the_digest_changes_with_such_a_file_alone(package, changed, differs):
    before = code_digest(MAPS)
    change(package / changed)
    assert (code_digest(MAPS) != before) == differs


@pytest.mark.parametrize(
    ("changed", "differs"),
    [("core/recipe.py", False), ("geometry/masks.py", True), ("training/relabel.py", True)],
)
def test_a_key_more_or_another_message_makes_no_other_training(
    package, data_root, tmp_path, changed, differs
):
    recipe = tiny_recipe(data_root, tmp_path, "augment.relabel=0.5")
    write_tiny_folds(recipe)
    before = training_fingerprint(recipe, 0, TrainingSet(recipe)), training_code()
    change(package / changed)
    after = training_fingerprint(recipe, 0, TrainingSet(recipe)), training_code()
    assert [a != b for a, b in zip(before, after)] == [differs, differs]


def test_it_is_the_digest_of_the_files_wherever_they_lie(package, monkeypatch):
    copied = code_digest(MAPS)
    monkeypatch.undo()
    code_files.cache_clear()
    assert code_digest(MAPS) == copied


@pytest.mark.parametrize("changed", ["core/images.py", "geometry/masks.py"])
def test_cached_maps_are_stale_when_what_reads_or_makes_them_has_changed(
    package, tiny, tmp_path, changed
):
    def cache() -> MapCache:
        return MapCache(DataSet.of(tiny).train_shapes, tiny.input, tmp_path / "cache")

    cache().load()
    assert cache().stamp.is_current()
    change(package / "training" / "fold.py")
    assert cache().stamp.is_current()
    change(package / changed)
    assert not cache().stamp.is_current()
    cache().load()
    assert cache().stamp.is_current()


def wider_closing(mask: np.ndarray) -> np.ndarray:
    return masks.fill_holes(mask, mask.size) | np.roll(mask, 1, 0)


@pytest.mark.parametrize("mask", ["label", "any"])
def test_another_closing_is_another_training_where_maps_depend_on_it(
    package, data_root, tmp_path, monkeypatch, mask
):
    recipe = tiny_recipe(data_root, tmp_path, f"input.mask={mask}", "input.kind=distance")
    write_tiny_folds(recipe)

    def look(recipe: Recipe) -> tuple[bool, np.ndarray, str]:
        """As a process that begins: whether the cache is current, the maps, the fingerprint."""
        images = TrainingSet(recipe)
        cache = images.maps_of(images.data)
        was_current = cache.stamp.is_current()
        return was_current, np.array(cache.load()), training_fingerprint(recipe, 0, images)

    _, maps, fingerprint = look(recipe)
    assert look(recipe)[0]
    change(package / "geometry" / "masks.py")
    monkeypatch.setattr(masks, "closing", wider_closing)
    was_current, new_maps, new_fingerprint = look(recipe)
    assert not was_current  # the code is looked at, then the maps themselves
    depends = mask == "label"
    assert np.array_equal(new_maps, maps) != depends
    assert (new_fingerprint != fingerprint) == depends
    assert look(recipe)[0]


def test_a_stamp_is_current_for_its_settings_and_outputs(tmp_path):
    output = tmp_path / "out.txt"
    output.write_text("made")
    stamp = Stamp(tmp_path / "stamp.json", {"a": 1}, [output])
    assert not stamp.is_current() and stamp.recorded(output) == ""
    stamp.write()
    assert stamp.is_current() and stamp.recorded(output)
    assert not Stamp(tmp_path / "stamp.json", {"a": 2}, [output]).is_current()
    output.write_text("other")
    assert not stamp.is_current()
    output.unlink()
    assert not stamp.is_current()
