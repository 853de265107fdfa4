"""Check the data set before anything is computed, and list everything that is wrong at once.

reads   the data sets that the recipe names: data.root (input/pixel-skelneton), data.extra
writes  nothing but a stamp in cache/, so that an unchanged data set is not checked again

Found are: missing folders, a shape without skeleton or the reverse, unreadable files, wrong
sizes, black-on-white images, labels that are empty, grey, thick or outside their shape. A network
is not begun where the driver lists a GPU that torch cannot use.

examples:
  python src/check_input.py
  python src/check_input.py --set data.root=/kaggle/input/pixel-skelneton
"""

from canet.core import cli
from canet.core.console import UserError, announce, shown
from canet.core.default_recipe import USUAL_ROOT, data_elsewhere
from canet.core.gpus import refuse_unusable_gpu
from canet.core.provenance import Stamp, code_digest, skip
from canet.core.recipe import Recipe
from canet.data.checks import find_problems
from canet.data.data_set import DataSet

MOST_SHOWN = 30


def stamp_of(data: DataSet, recipe: Recipe) -> Stamp | None:
    """A data set is checked already for its files, how the recipe names them, and this code."""
    try:
        files = [folder.digest for folder in data.folders()]
    except UserError:  # some cannot even be opened
        return None
    named = recipe.settings("data")["data"] | {"extra": [], "is_extra": data.is_extra}
    settings = {"data": named, "files": files, "code": code_digest("canet.data.checks")}
    return Stamp(recipe.cache_folder / "checked" / f"{data.root.name}.json", settings, [])


def check(data: DataSet) -> None:
    """Look at every image and say how many there are.

    Raises:
        UserError: listing everything that is wrong.
    """
    problems = find_problems(data)
    if problems:
        listed = "\n  ".join(problems[:MOST_SHOWN])
        rest = f"\n  … and {len(problems) - MOST_SHOWN} more" if len(problems) > MOST_SHOWN else ""
        raise UserError(
            f"{len(problems)} problems with the data set:\n  {listed}{rest}\n\n"
            f"expected:\n{data.expected_tree()}\n\nfound:\n{data.found_tree()}"
        )
    counts = ", ".join(f"{len(f.names)} in {f.path.name}" for f in data.folders())
    print(f"   all is well: {counts}")


def main() -> None:
    args = cli.recipe_parser(__doc__).parse_args()
    recipe = cli.load_recipe(args)
    data = DataSet.of(recipe)
    if recipe.method == "network":
        refuse_unusable_gpu(recipe.machine.device)
    sets = [data, *data.extra]
    announce("check the input", [s.root for s in sets], [recipe.cache_folder / "checked"])
    for data in sets:
        if not data.root.is_dir():
            usual = "see input/README.md for where the data goes, or try bash run.sh demo"
            elsewhere = data_elsewhere() if shown(data.root) == USUAL_ROOT else None
            raise UserError(f"{shown(data.root)}: no such folder; {elsewhere or usual}")
    for data in sets:
        stamp = stamp_of(data, recipe)
        if not (stamp and skip(stamp, args.force)):
            check(data)
            if stamp:
                stamp.write()


if __name__ == "__main__":
    cli.run(main)
