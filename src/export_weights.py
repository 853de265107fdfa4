"""Make a trained fold a small folder to publish: half precision, threshold, model card.

reads   runs/NAME/fold-K/model/, runs/NAME/threshold.json
writes  weights/NAME/: model.safetensors, config.json, training.json, README.md

examples:
  python src/export_weights.py --run canet_axis --fold all --out weights/canet_axis
  python src/export_weights.py --run cpu --fold 0 --out weights/mine
  python src/make_submission.py --run weights/canet_axis --images photos/ --out photos
"""

from pathlib import Path

from canet.core import cli
from canet.core.console import REPOSITORY, UserError, announce, shown
from canet.core.runs import find_run, fold_number
from canet.inference.export import export
from canet.inference.saved_model import WEIGHTS
from canet.selection import forest


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--run", metavar="NAME", help="a run in runs/ (default: the newest)")
    parser.add_argument("--fold", default="all", metavar="K", help="its fold (default: all)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="(default: weights/NAME)")
    args = parser.parse_args()
    run, fold = find_run(args.run), str(fold_number(args.fold))
    out = args.out or REPOSITORY / "weights" / run.name
    if home := forest.stored_in(run):
        raise UserError(f"{shown(run)} is geometry: publish a copy of {shown(home)}/, as it is")
    announce("weights", [run / f"fold-{fold}"], [out])
    export(run, fold, out)
    print(f"   {(out / WEIGHTS).stat().st_size / 1e6:.1f} MB: {shown(out)}/, see README.md there")


if __name__ == "__main__":
    cli.run(main)
