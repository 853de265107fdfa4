"""Check the data set before anything is computed, and list everything that is wrong at once.

reads   the data sets that the recipe names: data.root (input/pixel-skelneton), data.extra
writes  nothing but a stamp in cache/, so that an unchanged data set is not checked again

Found are: missing folders, a shape without skeleton or the reverse, unreadable files, wrong
sizes, black-on-white images, empty skeletons, labels outside their shape.

examples:
  python src/check_input.py
  python src/check_input.py --set data.root=/kaggle/input/pixel-skelneton
"""

from pathlib import Path

from canet import dataset, files, png, stage
from canet.dataset import ImageFolders, find_problems
from canet.files import UserError, digest_of_files, shown
from canet.recipe import Recipe

MOST_SHOWN = 30
CODE = [Path(module.__file__) for module in (dataset, files, png)]


def digest_of_data(folders: ImageFolders) -> str | None:
    """A digest of all images; None where some cannot even be opened."""
    try:
        return digest_of_files(folders.files())
    except (UserError, OSError):
        return None


def main() -> None:
    args = stage.recipe_parser(__doc__).parse_args()
    recipe = stage.load_recipe(args)
    data = ImageFolders(recipe.data_root, recipe.data)
    sets = [data, *data.extra]
    digests = [digest_of_data(folders) for folders in sets]
    stamps = [stamp_of(folders, recipe, digest) for folders, digest in zip(sets, digests)]
    stage.announce("check the input", [f.root for f in sets], [s.path for s in stamps])
    for folders in sets:
        if not folders.root.is_dir():
            raise UserError(
                f"{shown(folders.root)}: no such folder; see input/README.md for where the data "
                f"goes, or try bash run.sh demo"
            )
    for folders, digest, stamp in zip(sets, digests, stamps):
        if not (digest and stage.skip(stamp, args.force)):
            check(folders)
            stamp.write()


def stamp_of(folders: ImageFolders, recipe: Recipe, digest: str | None) -> stage.Stamp:
    """A data set is checked already for its files, how the recipe names them, and this code."""
    named = recipe.settings("data")["data"] | {"extra": [], "is_extra": folders.is_extra}
    settings = {"data": named, "files": digest, "code": digest_of_files(CODE)}
    path = recipe.cache_folder / "checked" / f"{folders.root.name}.json"
    return stage.Stamp(path, settings, [])


def check(folders: ImageFolders) -> None:
    """Look at every image and say how many there are.

    Raises:
        UserError: listing everything that is wrong.
    """
    problems = find_problems(folders)
    if problems:
        listed = "\n  ".join(problems[:MOST_SHOWN])
        rest = f"\n  … and {len(problems) - MOST_SHOWN} more" if len(problems) > MOST_SHOWN else ""
        raise UserError(
            f"{len(problems)} problems with the data set:\n  {listed}{rest}\n\n"
            f"expected:\n{folders.expected_tree()}\n\nfound:\n{folders.found_tree()}"
        )
    counts = ", ".join(f"{len(dataset.list_images(f))} in {f.name}" for f in folders.all())
    print(f"   all is well: {counts}")


if __name__ == "__main__":
    stage.run(main)
