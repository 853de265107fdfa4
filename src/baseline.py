"""Skeletons by a classical method, no network, no training: zhang_suen, lee or medial_axis.

reads   a folder of shapes
writes  a folder of skeleton PNGs, a flat zip and a manifest, like make_submission.py

examples:
  python src/baseline.py zhang_suen --images input/demo/img_test_shape --out submissions/thinning
  python src/score.py submissions/thinning.zip input/demo/img_test2
"""

from pathlib import Path

from canet import stage
from canet.classical import METHODS
from canet.dataset import list_images
from canet.distance import inside
from canet.files import digest_of_files, read_grey, shown
from canet.submission import write_submission


def main() -> None:
    parser = stage.parser(__doc__)
    parser.add_argument("method", choices=sorted(METHODS))
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="shapes")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    args = parser.parse_args()
    zip_path = args.out.with_name(args.out.name.removesuffix(".zip") + ".zip")
    stage.announce(args.method, [args.images], [zip_path])
    paths, skeletons, sizes = list_images(args.images), {}, {}
    for path in stage.progress(paths, desc=args.method, unit="image"):
        mask = inside(read_grey(path))
        skeletons[path.name], sizes[path.name] = METHODS[args.method](mask), mask.shape
    facts = {
        "method": args.method,
        "images": {"folder": args.images.name, "sha256": digest_of_files(paths)},
        "commit": stage.commit(),
        "versions": stage.versions(),
    }
    folder = write_submission(skeletons, sizes, zip_path, facts)
    print(f"   {len(skeletons)} PNGs in {shown(folder)}/, zipped: {shown(zip_path)}")


if __name__ == "__main__":
    stage.run(main)
