"""Assign every labelled image to a fold, once; later runs only read the CSV.

reads   the shapes of the data set
writes  input/folds/DATASET_…_SCHEME_….csv with image, class, group, fold

Two schemes, by the recipe's folds.scheme: stratified by class (80/20 as in the paper), or grouped,
which keeps near duplicates under flips and quarter turns together.

examples:
  python src/make_folds.py --recipe cpu
  python src/make_folds.py --recipe cpu --set folds.scheme=grouped
"""

from canet.core import cli
from canet.core.console import announce
from canet.data.folds import assign_folds, write_folds
from canet.data.training_set import TrainingSet


def main() -> None:
    args = cli.recipe_parser(__doc__).parse_args()
    recipe = cli.load_recipe(args)
    images = TrainingSet(recipe)
    shapes, path = images.data.train_shapes, images.folds_path
    announce(f"folds ({recipe.folds.scheme})", [shapes.path], [path])
    if args.force or not path.exists():
        write_folds(path, assign_folds(shapes, recipe.folds))
    else:
        print("   written before: read and checked, not changed (--force makes them anew)")
    table = images.folds
    sizes = table["group"].map(table["group"].value_counts())
    print(
        f"   {len(table)} images, {table['class'].nunique()} classes, "
        f"{(sizes > 1).mean():.0%} with a near duplicate; "
        f"folds of {', '.join(str(n) for n in table['fold'].value_counts().sort_index())}"
    )


if __name__ == "__main__":
    cli.run(main)
