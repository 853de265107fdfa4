"""Assign every labelled image to a fold, once; later runs only read the CSV.

reads   the shapes of the data set
writes  input/folds/DATASET_SCHEME_….csv with image, class, group, fold

Two schemes, by the recipe's folds.scheme: stratified by class (the paper's 80/20), or grouped,
which keeps near duplicates under flips and quarter turns together.

examples:
  python src/make_folds.py --recipe cpu
  python src/make_folds.py --recipe cpu --set folds.scheme=grouped
"""

from canet import stage
from canet.dataset import ImageFolders, list_images
from canet.folds import assign_folds, folds_path, read_folds, write_folds


def main() -> None:
    args = stage.recipe_parser(__doc__).parse_args()
    recipe = stage.load_recipe(args)
    shapes = ImageFolders(recipe.data_root, recipe.data).train_shapes
    path = folds_path(recipe)
    stage.announce(f"folds ({recipe.folds.scheme})", [shapes], [path])
    paths = list_images(shapes)
    if args.force or not path.exists():
        write_folds(path, assign_folds(paths, recipe.folds))
    else:
        print("   written before: read and checked, not changed (--force makes them anew)")
    table = read_folds(path, [p.name for p in paths], recipe.folds)
    sizes = table["group"].map(table["group"].value_counts())
    print(
        f"   {len(table)} images, {table['class'].nunique()} classes, "
        f"{(sizes > 1).mean():.0%} with a near duplicate; "
        f"folds of {', '.join(str(n) for n in table['fold'].value_counts().sort_index())}"
    )


if __name__ == "__main__":
    stage.run(main)
