"""Compute the network's input for every shape, once, and keep it in the cache.

reads   the shapes of the data set and of data.extra
writes  cache/maps/DATASET/FOLDER/KIND.npy with a checksum beside it

Kinds (input.kind) are planes joined by +. grey is the image; from the mask that input.mask names:
shape, distance, repaired_distance (holes up to input.max_hole_px filled first), soft_distance and
edge. From its compact skeletons: candidates (drawn at the tolerances 1.05, 2, 3), raw_candidates
(of the other mask: 1.05, 2), salience, radius, offset (where the skeleton is, from each pixel).

examples:
  python src/make_distance_maps.py --recipe cpu
  python src/make_distance_maps.py --recipe cpu --set input.kind=shape+distance+edge
  python src/make_distance_maps.py --recipe cpu --set input.kind=repaired_distance+candidates
"""

from canet import stage
from canet.dataset import ImageFolders
from canet.files import shown
from canet.map_cache import cache_path, load_maps


def main() -> None:
    args = stage.recipe_parser(__doc__).parse_args()
    recipe = stage.load_recipe(args)
    data = ImageFolders(recipe.data_root, recipe.data)
    folders = [data.train_shapes, data.test_shapes, *(e.train_shapes for e in data.extra)]
    paths = [cache_path(f, recipe.input, recipe.cache_folder) for f in folders]
    stage.announce(f"distance maps ({recipe.input.kind})", folders, paths)
    for folder in folders:
        maps = load_maps(folder, recipe.input, recipe.cache_folder, args.force)
        print(f"   {shown(folder)}: {len(maps)} maps of {'×'.join(map(str, maps.shape[1:]))}")


if __name__ == "__main__":
    stage.run(main)
