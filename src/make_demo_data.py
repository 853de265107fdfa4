"""Generate shapes with known skeletons, in the starting kit's layout, for a recipe that asks.

reads   nothing
writes  input/demo/: img_train_shape, img_train2, img_test_shape, img_test2

An image depends only on demo.seed and its number. Recipes without a demo section generate none.

examples:
  python src/make_demo_data.py --recipe demo
  python src/make_demo_data.py --recipe demo --set demo.train=1000 demo.seed=7
"""

from pathlib import Path

from canet import demo, distance, geometry, stage
from canet.dataset import ImageFolders
from canet.files import UserError, digest_of_files, remove, shown, write_png, write_with
from canet.submission import encode


def write_examples(shapes: Path, skeletons: Path, seed: int, indices: range) -> list[Path]:
    """Draw and write the examples with these numbers; returns their paths."""
    written = []
    for index in stage.progress(indices, desc=shapes.name, unit="image"):
        name, shape, skeleton = demo.example(seed, index)
        write_png(shapes / name, shape)
        write_with(skeletons / name, lambda t, s=skeleton: t.write_bytes(encode(s)))
        written += [shapes / name, skeletons / name]
    return written


def clear(folder: Path, kept: list[Path], root_stamp: Path) -> None:
    """Remove earlier generated images, never anybody's own."""
    strangers = set(folder.glob("*.png")) - set(kept)
    if strangers and not root_stamp.exists():
        raise UserError(
            f"{shown(folder)}: holds images that were not generated here; "
            f"set data.root to another folder"
        )
    for path in strangers:
        remove(path)


def main() -> None:
    args = stage.recipe_parser(__doc__).parse_args()
    recipe = stage.load_recipe(args)
    wanted, folders = recipe.demo, ImageFolders(recipe.data_root, recipe.data)
    if not wanted.train:
        print(
            f"== demo data\n   recipe {recipe.name} uses the data set it has: nothing to generate"
        )
        return
    stage.announce("demo data", [], folders.all())
    root_stamp = folders.root / "generated.json"
    names = [demo.name_of(wanted.seed, i) for i in range(wanted.train + wanted.test)]
    train, test = names[: wanted.train], names[wanted.train :]
    test_skeletons = folders.test_skeletons or folders.root / "img_test2"
    outputs = [f / n for f in (folders.train_shapes, folders.train_skeletons) for n in train]
    outputs += [f / n for f in (folders.test_shapes, test_skeletons) for n in test]
    code = [Path(demo.__file__), Path(distance.__file__), *geometry.CODE]
    settings = {"demo": recipe.settings("demo"), "code": digest_of_files(code)}
    stamp = stage.Stamp(root_stamp, settings, outputs)
    if stage.skip(stamp, args.force):
        return
    for folder in {p.parent for p in outputs}:
        clear(folder, outputs, root_stamp)
    stage.Stamp(root_stamp, {"unfinished": True}, []).write()
    seed, middle = wanted.seed, wanted.train
    write_examples(folders.train_shapes, folders.train_skeletons, seed, range(middle))
    write_examples(folders.test_shapes, test_skeletons, seed, range(middle, middle + wanted.test))
    stamp.write()


if __name__ == "__main__":
    stage.run(main)
