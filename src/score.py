"""Score predictions against labels: the challenge's F1 and what it does not tell.

reads   a submission (zip or folder of PNGs), a folder of labels
writes  with --csv: one row an image

f1 is the challenge's score: the mean of each image's F1, pixel by pixel, no tolerance. pooled_f1
takes all pixels of all images together. recall_1px and precision_1px allow one pixel.
one_component is the share of predictions in one 8-connected piece, breaks the mean number of
pieces beyond the first, blocks_2x2 that of places two pixels wide, euler_match the share with the
Euler number of their label (pieces less loops).

examples:
  python src/score.py submissions/demo.zip input/demo/img_test2
  python src/score.py submissions/demo.zip input/demo/img_test2 --shapes input/demo/img_test_shape
                                        adds thinning, medial axes and compact skeletons
  python src/score.py predictions/ labels/ --csv each.csv
"""

from dataclasses import asdict
from pathlib import Path

import pandas as pd

from canet.core import cli
from canet.core.console import shown
from canet.core.files import write_with
from canet.core.images import read_grey
from canet.data.data_set import list_images
from canet.evaluation.score_tables import (
    check_alike,
    load_labels,
    score_predictions,
    summary_table,
)
from canet.geometry.classical import METHODS
from canet.submission.read import read_submission


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("submission", type=Path, help="zip or folder of PNGs")
    parser.add_argument("labels", type=Path, help="folder of skeleton PNGs")
    parser.add_argument("--shapes", type=Path, metavar="DIR", help="also score classical methods")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="each image's figures")
    args = parser.parse_args()
    labels = load_labels(args.labels)
    made = {name: image > 127 for name, image in read_submission(args.submission).items()}
    scores = score_predictions(made, labels)
    rows = [(args.submission.stem, scores)]
    if args.shapes:
        shapes = {p.name: read_grey(p) for p in list_images(args.shapes)}
        check_alike(args.shapes, shapes, labels)
        for name, method in METHODS.items():
            made = {image: method(shape) for image, shape in shapes.items()}
            rows.append((name, score_predictions(made, labels)))
    print(summary_table(rows).to_string(index=False, float_format="{:.4f}".format))
    if args.csv:
        each = pd.DataFrame([{"image": name} | asdict(score) for name, score in scores.items()])
        write_with(args.csv, lambda temporary: each.to_csv(temporary, index=False))
        print(f"each image: {shown(args.csv)}")


if __name__ == "__main__":
    cli.run(main)
