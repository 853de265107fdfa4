import numpy as np
import pytest

from canet import map_cache
from canet.dataset import list_images
from canet.files import UserError, read_grey, write_png
from canet.input_kinds import PLANES, channels_of
from canet.inputs import input_map
from canet.recipe import Input


@pytest.fixture
def shapes(tmp_path):
    folder = tmp_path / "set" / "shapes"
    for i in range(3):
        shape = np.zeros((32, 32), np.uint8)
        shape[5 : 20 + i, 8:25] = 255
        write_png(folder / f"box-{i}.png", shape)
    return folder


def count_computations(monkeypatch) -> list:
    calls, compute = [], map_cache.compute_maps
    monkeypatch.setattr(
        map_cache, "compute_maps", lambda *a, **k: calls.append(a) or compute(*a, **k)
    )
    return calls


@pytest.mark.parametrize("kind", [*PLANES, "repaired_distance+candidates+offset"])
def test_maps_are_those_of_the_shapes_in_order(shapes, tmp_path, kind):
    maps = map_cache.load_maps(shapes, Input(kind=kind), tmp_path / "cache")
    assert maps.shape == (3, channels_of(kind), 32, 32) and maps.dtype == np.float32
    for path, found in zip(list_images(shapes), maps):
        np.testing.assert_array_equal(found, input_map(read_grey(path), Input(kind=kind)))


def test_computed_once(shapes, tmp_path, monkeypatch):
    calls = count_computations(monkeypatch)
    for _ in range(3):
        map_cache.load_maps(shapes, Input(), tmp_path / "cache")
    assert len(calls) == 1


def test_a_flipped_byte_is_noticed_and_mended(shapes, tmp_path, capsys):
    cache = tmp_path / "cache"
    good = np.array(map_cache.load_maps(shapes, Input(), cache))
    path = map_cache.cache_path(shapes, Input(), cache)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    np.testing.assert_array_equal(map_cache.load_maps(shapes, Input(), cache), good)
    assert "rebuilt" in capsys.readouterr().out


def test_changed_code_is_noticed(shapes, tmp_path, monkeypatch):
    calls = count_computations(monkeypatch)
    map_cache.load_maps(shapes, Input(), tmp_path / "cache")
    for path in list(map_cache.CODE):
        changed = tmp_path / path.name
        changed.write_text(path.read_text() + "# changed\n")
        others = [changed if p == path else p for p in map_cache.CODE]
        monkeypatch.setattr(map_cache, "CODE", others)
        map_cache.load_maps(shapes, Input(), tmp_path / "cache")
    names = {p.name for p in map_cache.CODE}
    assert names >= {"compact.py", "planes.py", "inputs.py", "distance.py"}
    assert len(calls) == 1 + len(map_cache.CODE)


def test_a_changed_shape_is_noticed(shapes, tmp_path):
    cache = tmp_path / "cache"
    before = np.array(map_cache.load_maps(shapes, Input(), cache))
    path = list_images(shapes)[1]
    write_png(path, np.roll(read_grey(path), 2, 0))
    after = map_cache.load_maps(shapes, Input(), cache)
    assert (before[1] != after[1]).any() and (before[0] == after[0]).all()


def test_hole_sizes_do_not_share_a_cache(shapes, tmp_path):
    path = list_images(shapes)[0]
    shape = read_grey(path)
    shape[10:12, 10:12] = 0
    write_png(path, shape)
    repaired = map_cache.load_maps(shapes, Input(max_hole_px=4), tmp_path / "cache")
    kept = map_cache.load_maps(shapes, Input(max_hole_px=3), tmp_path / "cache")
    assert repaired[0, 0, 10, 10] > 0 and kept[0, 0, 10, 10] == 0
    both = [Input(kind="repaired_distance+radius", max_hole_px=k) for k in (3, 4)]
    assert len({map_cache.cache_path(shapes, k, tmp_path) for k in both}) == 2


def test_sizes_must_agree(shapes):
    write_png(shapes / "wide-1.png", np.full((32, 40), 255, np.uint8))
    with pytest.raises(UserError, match="40×32"):
        map_cache.compute_maps(list_images(shapes), Input())
