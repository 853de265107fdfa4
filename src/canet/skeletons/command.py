"""The skeleton of anybody's mask, as it is: a picture, a graph, widths.

reads   images: files, folders with all their sub-folders, globs; PNG, JPEG, TIFF with pages, BMP,
        WebP, GIF, NPY; up to 8192×8192 pixels, one object or thousands
writes  OUT/NAME/skeleton.png and the other formats asked for, one folder an image (one a page),
        and OUT/summary.csv: lengths, ends, junctions, rings, widths, what was taken away

png       skeleton.png, 255 on the skeleton, one pixel wide
overlay   overlay.png: branches in colours over the mask, ends and junctions as dots
svg       skeleton.svg: outline and branches, to look at and to edit
csv       branches.csv with skan's columns, widths and tortuosity; nodes.csv
graphml   skeleton.graphml, for networkx, Gephi, igraph
geojson   skeleton.geojson: LineStrings with radii
swc       skeleton.swc, for neuron tools; rings are cut

A binary image is taken as it is, a grey one at half of its range. Nothing is closed, filled or
left out unless it is asked for. With compact and canet every part of the mask is covered, every
hole is a loop and nothing lies outside; with compact, lines of one pixel stay as they are.

examples:
  python src/skeletonize.py mask.png                              skeletons/mask/skeleton.png
  python src/skeletonize.py scans/ --out lines --formats png,overlay,csv
  python src/skeletonize.py vessels.tif --spacing 0.65 --unit um --formats csv,swc
  python src/skeletonize.py "photos/**/*.jpg" --threshold otsu --invert --fill-holes 20
  python src/skeletonize.py icons/ --threshold alpha              cut-outs in colour
  python src/skeletonize.py cells.npy --labels --min-area 30      each label by itself
  python src/skeletonize.py hand.png --tolerance 5% --prune-radii 1.5      fewer branches
  python src/skeletonize.py roads.png --reach-border              lines that leave the image
  python src/skeletonize.py masks/ --method canet --weights my_run      a network of your own
  python src/skeletonize.py mask.png --method medial_axis         scikit-image's, to compare
"""

import sys
from pathlib import Path

from canet.core import cli
from canet.skeletons.folder import skeletonize_files
from canet.skeletons.options import add_options, options_of

IN_REPOSITORY = "python src/skeletonize.py"


def main() -> None:
    """Read the command line and draw."""
    called = Path(sys.argv[0])
    installed = called.suffix != ".py"  # as a command of its own
    parser = cli.parser(__doc__.replace(IN_REPOSITORY, called.name) if installed else __doc__)
    parser.add_argument("images", nargs="+", metavar="IMAGES", help="files, folders, globs")
    parser.add_argument("--out", type=Path, metavar="DIR", default=Path("skeletons"))
    parser.add_argument(
        "--formats", default="png", metavar="A,B", help="png,overlay,svg,csv,graphml,geojson,swc"
    )
    add_options(parser)
    args = parser.parse_args()
    if skeletonize_files(args.images, args.out, options_of(args), formats=args.formats):
        sys.exit(1)


def run() -> None:
    """The command `skeletonize`; errors that a user can mend are one line."""
    cli.run(main)
