"""Skeletons by a method that learns nothing: thinning, a medial axis, or compact skeletons.

reads   a folder of shapes
writes  a folder of skeleton PNGs, a flat zip and a manifest, like make_submission.py

zhang_suen, lee        thinning, by scikit-image
medial_axis            ridge of the distance map, by scikit-image
salient_medial_axis    Voronoi diagram of the outline, pruned where little outline would be lost
compact                the geometry that the labels of Pixel SkelNetOn are made of

examples:
  python src/baseline.py compact --images photos/ --out photos_skeletons
  python src/baseline.py compact --images photos/ --out coarse --tolerance 4 --every-piece
  python src/baseline.py zhang_suen --images input/demo/img_test_shape --out submissions/thinning
  python src/score.py submissions/thinning.zip input/demo/img_test2
"""

from pathlib import Path

import numpy as np

from canet import stage
from canet.classical import METHODS
from canet.dataset import list_images
from canet.files import UserError, read_grey, shown
from canet.geometry import compact_skeleton
from canet.geometry.candidates import PLAIN, label_mask
from canet.submission import submit


def main() -> None:
    parser = stage.parser(__doc__)
    parser.add_argument("method", choices=sorted(METHODS))
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="shapes")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    compact = parser.add_argument_group("compact")
    compact.add_argument(
        "--tolerance", type=float, metavar="PX", help=f"(default: {PLAIN.tolerance_px:g})"
    )
    compact.add_argument(
        "--every-piece", action="store_true", help="a skeleton in each piece, not in one alone"
    )
    args = parser.parse_args()
    own = args.tolerance is not None or args.every_piece
    if own and args.method != "compact":
        raise UserError(f"--tolerance and --every-piece are for compact; {args.method} has none")
    tolerance = PLAIN.tolerance_px if args.tolerance is None else args.tolerance
    if not tolerance >= 0:
        raise UserError(f"--tolerance {tolerance}: expected 0 or more pixels")

    def skeleton_of(shape: np.ndarray) -> np.ndarray:
        if not own:
            return METHODS[args.method](shape)
        mask = label_mask(shape)
        return compact_skeleton(mask, tolerance, args.every_piece).draw(shape.shape)

    def skeletons(paths: list[Path]) -> dict[str, np.ndarray]:
        return {p.name: skeleton_of(read_grey(p)) for p in paths}

    zip_path = args.out.with_name(args.out.name.removesuffix(".zip") + ".zip")
    stage.announce(args.method, [args.images], [zip_path])
    facts = {"method": args.method, "commit": stage.commit(), "versions": stage.versions()}
    if args.method == "compact":
        facts |= {"tolerance_px": tolerance, "every_piece": args.every_piece}
    paths = list_images(args.images)
    if submit(paths, skeletons, zip_path, facts):
        folder = shown(zip_path.with_suffix(""))
        print(f"   {len(paths)} PNGs in {folder}/, zipped: {shown(zip_path)}")


if __name__ == "__main__":
    stage.run(main)
