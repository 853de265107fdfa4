"""Generate shapes with known skeletons, in the starting kit's layout, for a recipe that asks.

reads   nothing
writes  input/demo/: img_train_shape, img_train2, img_test_shape, img_test2

An image depends only on demo.seed and its number. Recipes without a demo section generate none.

examples:
  python src/make_demo_data.py --recipe demo
  python src/make_demo_data.py --recipe demo --set demo.train=1000 demo.seed=7
"""

from pathlib import Path

from canet.core import cli
from canet.core.console import UserError, announce, progress, shown
from canet.core.files import remove, write_with
from canet.core.images import encode_skeleton, write_png
from canet.core.provenance import Stamp, code_digest, skip
from canet.core.recipe import Demo
from canet.data import demo
from canet.data.data_set import DataSet


def write_examples(shapes: Path, skeletons: Path, indices: range, *, seed: int) -> None:
    """Draw and write the examples with these numbers."""
    for index in progress(indices, desc=shapes.name, unit="image"):
        name, shape, skeleton = demo.example(seed, index)
        write_png(shapes / name, shape)
        write_with(skeletons / name, lambda t, s=skeleton: t.write_bytes(encode_skeleton(s)))


def clear(folders: list[Path], stamp: Stamp) -> None:
    """Remove earlier generated images, never anybody's own."""
    earlier = [path for folder in folders for path in sorted(folder.glob("*.png"))]
    for path in earlier:
        if not stamp.recorded(path):
            raise UserError(
                f"{shown(path)}: was not generated here; move it, or set data.root to another "
                f"folder"
            )
    for path in set(earlier) - set(stamp.outputs):
        remove(path)


def generate(data: DataSet, wanted: Demo, *, force: bool) -> None:
    """Write all images; nothing where they are current."""
    folders = [data.train_shapes.path, data.train_skeletons.path, data.test_shapes.path]
    folders.append(data.test_skeletons.path if data.test_skeletons else data.root / "img_test2")
    parts = (range(wanted.train), range(wanted.train, wanted.train + wanted.test))
    names = [[demo.name_of(wanted.seed, i) for i in part] for part in parts]
    outputs = [f / n for k, f in enumerate(folders) for n in names[k // 2]]
    settings = {"demo": wanted.model_dump(mode="json"), "code": code_digest("canet.data.demo")}
    stamp = Stamp(data.root / "generated.json", settings, outputs)
    if skip(stamp, force):
        return
    clear(folders, stamp)
    stamp.begin()
    for k, part in enumerate(parts):
        write_examples(folders[2 * k], folders[2 * k + 1], part, seed=wanted.seed)
    stamp.write()


def main() -> None:
    args = cli.recipe_parser(__doc__).parse_args()
    recipe = cli.load_recipe(args)
    if not recipe.demo.train:
        print(
            f"== demo data\n   recipe {recipe.name} uses the data set it has: nothing to generate"
        )
        return
    data = DataSet.of(recipe)
    announce("demo data", [], [folder.path for folder in data.folders()])
    generate(data, recipe.demo, force=args.force)


if __name__ == "__main__":
    cli.run(main)
