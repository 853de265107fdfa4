import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from canet.core import files
from canet.core.console import UserError
from canet.core.images import read_grey, write_png
from canet.core.input_planes import PLANES, channels_of
from canet.core.recipe import Input
from canet.data.data_set import ImageFolder, list_images
from canet.data.input_maps import input_map
from canet.data.map_cache import MapCache


@pytest.fixture
def shapes(tmp_path):
    folder = tmp_path / "set" / "shapes"
    for i in range(3):
        shape = np.zeros((32, 32), np.uint8)
        shape[5 : 20 + i, 8:25] = 255
        write_png(folder / f"box-{i}.png", shape)
    return folder


def cache_of(shapes, **settings) -> MapCache:
    """As a process that begins has it: nothing is known of the shapes or the maps."""
    return MapCache(ImageFolder(shapes), Input(**settings), shapes.parents[1] / "cache")


@pytest.mark.parametrize("kind", [*PLANES, "repaired_distance+candidates+salience"])
def test_maps_are_those_of_the_shapes_in_order(shapes, kind):
    maps = cache_of(shapes, kind=kind).load()
    assert maps.shape == (3, channels_of(kind), 32, 32) and maps.dtype == np.float32
    for path, found in zip(list_images(shapes), maps):
        np.testing.assert_array_equal(found, input_map(read_grey(path), Input(kind=kind)))


def test_computed_once(shapes):
    first = cache_of(shapes)
    first.load()
    written = first.path.stat().st_mtime_ns
    cache_of(shapes).load()
    assert first.path.stat().st_mtime_ns == written
    cache_of(shapes).load(force=True)
    assert first.path.stat().st_mtime_ns != written


def test_a_flipped_byte_is_noticed_and_mended(shapes, capsys):
    good = np.array(cache_of(shapes).load())
    path = cache_of(shapes).path
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    np.testing.assert_array_equal(cache_of(shapes).load(), good)
    assert "rebuilt" in capsys.readouterr().out


def test_a_changed_shape_is_noticed(shapes):
    before = np.array(cache_of(shapes).load())
    path = list_images(shapes)[1]
    write_png(path, np.roll(read_grey(path), 2, 0))
    after = cache_of(shapes).load()
    assert (before[1] != after[1]).any() and (before[0] == after[0]).all()


def test_the_digest_is_that_of_the_maps(shapes):
    first = cache_of(shapes)
    assert first.digest == ""  # nothing is there
    first.load()
    assert first.digest and cache_of(shapes).digest == first.digest
    other = cache_of(shapes, kind="shape")
    other.load()
    assert other.digest != first.digest


def test_folders_of_one_name_do_not_share_a_cache(shapes, tmp_path):
    other = tmp_path / "elsewhere" / "set" / "shapes"
    shutil.copytree(shapes, other)
    write_png(other / "box-0.png", np.full((32, 32), 255, np.uint8))
    mine, theirs = (MapCache(ImageFolder(f), Input(), tmp_path / "cache") for f in (shapes, other))
    before, after = np.array(mine.load()), theirs.load()
    assert mine.path != theirs.path and (before[0] != after[0]).any()
    assert MapCache(ImageFolder(shapes), Input(), tmp_path / "cache").stamp.is_current()


def test_what_another_process_writes_meanwhile_is_not_taken_for_it(shapes, monkeypatch):
    """Its file comes between this one's and the stamp."""
    cache = cache_of(shapes)

    def written_over(temporary, path, move=os.replace):
        move(temporary, path)
        if Path(path) == cache.path:
            np.save(path, np.zeros((3, 1, 32, 32), np.float32))

    monkeypatch.setattr(files.os, "replace", written_over)
    cache.load()
    monkeypatch.undo()
    assert cache_of(shapes).load().any()


def test_hole_sizes_do_not_share_a_cache(shapes):
    path = list_images(shapes)[0]
    shape = read_grey(path)
    shape[10:12, 10:12] = 0
    write_png(path, shape)
    repaired, kept = (cache_of(shapes, max_hole_px=k).load() for k in (4, 3))
    assert repaired[0, 0, 10, 10] > 0 and kept[0, 0, 10, 10] == 0
    kind = "repaired_distance+salience"
    assert len({cache_of(shapes, kind=kind, max_hole_px=k).path for k in (3, 4)}) == 2
    assert cache_of(shapes).path != cache_of(shapes, mask="label").path


def test_sizes_must_agree(shapes):
    write_png(shapes / "wide-1.png", np.full((32, 40), 255, np.uint8))
    with pytest.raises(UserError, match="40×32"):
        cache_of(shapes).load()
