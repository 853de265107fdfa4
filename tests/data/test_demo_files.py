"""Generated shapes on disk: what is generated anew goes, what is somebody's stays."""

import numpy as np
import pytest

import make_demo_data
from canet.core.console import UserError
from canet.core.images import write_png
from canet.core.recipe import Recipe
from canet.core.recipe_files import load
from canet.data.data_set import DataSet


def recipe(tmp_path, *demo: str) -> Recipe:
    return load("demo", [f"data.root={tmp_path / 'demo'}", *(f"demo.{d}" for d in demo)])


def generate(tmp_path, *demo: str, force: bool = False) -> set[str]:
    asked = recipe(tmp_path, *demo)
    make_demo_data.generate(DataSet.of(asked), asked.demo, force=force)
    return {f"{p.parent.name}/{p.name}" for p in (tmp_path / "demo").rglob("*.png")}


def test_earlier_images_go_with_their_folders(tmp_path):
    first = generate(tmp_path, "train=3", "test=2")
    assert len(first) == 10 and generate(tmp_path, "train=3", "test=2") == first
    other = generate(tmp_path, "train=2", "test=0", "seed=5")
    assert len(other) == 4 and not any("test" in name for name in other)


@pytest.mark.parametrize("name", ["img_test_shape/mine.png", "img_train2/bird-0.png"])
def test_somebodys_images_stay(tmp_path, name):
    mine = tmp_path / "demo" / name
    for train in (0, 3):  # before anything was generated, and after
        if train:
            generate(tmp_path, f"train={train}", "test=1")
        write_png(mine, np.full((9, 9), 7, np.uint8))
        content = mine.read_bytes()
        with pytest.raises(UserError, match=f"{mine.name}: was not generated here; move it"):
            generate(tmp_path, "train=4", "test=1")
        assert mine.read_bytes() == content
        mine.unlink()


def test_what_was_begun_is_generated_anew(tmp_path, monkeypatch):
    write = make_demo_data.write_examples

    def killed(shapes, skeletons, indices, *, seed):
        write(shapes, skeletons, indices[:2], seed=seed)
        raise KeyboardInterrupt

    monkeypatch.setattr(make_demo_data, "write_examples", killed)
    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path, "train=3", "test=2")
    monkeypatch.undo()
    assert len(generate(tmp_path, "train=4", "test=1")) == 10
