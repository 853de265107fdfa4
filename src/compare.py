"""Whether one run is better than another: differences on the same held-out images.

reads   runs/NAME/out_of_fold.csv, as tune_threshold.py and train_geometry.py write it, or what
        score.py --csv wrote
writes  with --csv: each image's F1 by every run

Every run after the first is compared with the first on the images that both judged. The standard
error is that of the mean difference over images: less than two of them may be chance. Another seed
changes a training, too: train with several (train.seed=1 …) before believing a small difference.
A network's threshold was chosen on all of these images, for every run alike.

examples:
  python src/compare.py cpu cpu_loss.dice=2.0
  python src/compare.py cpu cpu_train.seed=1 cpu_train.seed=2       what a seed alone changes
  python src/compare.py mine.csv theirs.csv --csv both.csv          of score.py --csv
"""

from pathlib import Path

import pandas as pd

from canet.core import cli
from canet.core.console import UserError, shown
from canet.core.runs import find_run
from canet.evaluation.comparison import compare
from canet.evaluation.score_tables import read_columns, write_table
from canet.postprocess.threshold import tuned_threshold


def read_f1(name: str) -> pd.Series:
    """F1 by image of a run, or of a CSV file."""
    path = Path(name)
    if not name.endswith(".csv"):
        run = find_run(name)
        path = run / "out_of_fold.csv"
        tuned_threshold(run)  # refuses one of an earlier training, whose scores these are
    if not path.is_file():
        raise UserError(
            f"{shown(path)}: is missing; expected what tune_threshold.py, train_geometry.py or "
            f"score.py --csv writes"
        )
    try:
        table = read_columns(path, {"image": str, "f1": float})
    except UserError:
        if not name.endswith(".csv"):
            raise
        raise UserError(
            f"{shown(path)}: has no columns image and f1 (numbers); expected what score.py --csv "
            f"writes"
        ) from None
    return table.set_index("image")["f1"].rename(name)


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="names, folders or CSV files")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="each image's F1")
    args = parser.parse_args()
    f1 = [read_f1(name) for name in args.runs]
    table = compare(f1).astype(object)
    table = table.where(table.notna(), "")  # of the first run
    print(table.to_string(index=False, float_format="{:.4f}".format))
    if args.csv:
        write_table(args.csv, pd.concat(f1, axis=1).rename_axis("image").reset_index())
        print(f"each image: {shown(args.csv)}")


if __name__ == "__main__":
    cli.run(main)
