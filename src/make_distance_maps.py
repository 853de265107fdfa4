"""Compute the network's input for every labelled shape, once, and keep it in the cache.

reads   the labelled shapes of the data set and of data.extra
writes  cache/maps/DATASET_…/FOLDER/KIND.npy with a checksum beside it

Kinds (input.kind) are planes joined by +. grey is the image; from the mask that input.mask names:
shape, distance, repaired_distance (holes up to input.max_hole_px filled first), soft_distance and
edge. From compact skeletons: candidates (drawn at the tolerances 1.05, 2 and 3) and salience (how
much outline each point of the medial axis stands for).

examples:
  python src/make_distance_maps.py --recipe cpu
  python src/make_distance_maps.py --recipe cpu --set input.kind=shape+distance+edge
  python src/make_distance_maps.py --recipe cpu --set input.kind=repaired_distance+candidates
"""

from canet.core import cli
from canet.core.console import announce, shown
from canet.data.data_set import DataSet
from canet.data.map_cache import MapCache


def main() -> None:
    args = cli.recipe_parser(__doc__).parse_args()
    recipe = cli.load_recipe(args)
    data = DataSet.of(recipe)
    folders = [data.train_shapes, *(extra.train_shapes for extra in data.extra)]
    caches = [MapCache(folder, recipe.input, recipe.cache_folder) for folder in folders]
    reads, writes = [folder.path for folder in folders], [cache.path for cache in caches]
    announce(f"distance maps ({recipe.input.kind})", reads, writes)
    for folder, cache in zip(folders, caches):
        maps = cache.load(force=args.force)
        size = "×".join(map(str, maps.shape[1:]))
        print(f"   {shown(folder.path)}: {len(maps)} maps of {size}")


if __name__ == "__main__":
    cli.run(main)
