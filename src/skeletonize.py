"""The skeleton of anybody's mask, as it is: a picture, a graph, widths.

reads   images: files, folders with all their sub-folders, globs
writes  OUT/NAME/skeleton.png and the other formats asked for, and OUT/summary.csv

`--help` shows the document of canet.skeletons.command, which `pip install .` installs as the
command `skeletonize`.

examples:
  python src/skeletonize.py mask.png
  python src/skeletonize.py scans/ --out lines --formats png,overlay,csv
"""

from canet.core import cli
from canet.skeletons.command import main

if __name__ == "__main__":
    cli.run(main)
