"""One page about a run: figures, curves, worst and best images, searches, how to reproduce it.

reads   runs/NAME/, its studies, the labelled images of the data set
writes  runs/NAME/report.html, one file that needs nothing but itself, its pictures as plain files
        in runs/NAME/report/, and for a network the scores of classical methods on each fold,
        runs/NAME/classical_fold-K.csv and .json, which baseline.py all writes, too

It is about the data of whoever runs it, and stays in runs/.

examples:
  python src/report.py                       the newest run
  python src/report.py --run demo
  python src/report.py --recipe cpu --set train.epochs=10
"""

from canet.core import cli
from canet.core.console import UserError, announce, shown
from canet.core.runs import find_run
from canet.report.content import contents_of
from canet.report.facts import gather, recipe_of
from canet.report.page import write_report


def main() -> None:
    parser = cli.recipe_parser(__doc__, writes=False)
    cli.add_storage(parser)
    parser.add_argument("--run", metavar="NAME", help="a run in runs/ (default: the newest)")
    args = parser.parse_args()
    if args.run and (args.recipe or args.overrides):
        raise UserError("--run names a run that is there, --recipe and --set another; give one")
    named = args.recipe or args.overrides
    recipe = cli.load_recipe(args) if named else recipe_of(find_run(args.run), args.storage)
    run = recipe.run_folder
    announce(f"report ({recipe.name})", [run, recipe.data_root], [run / "report.html"])
    page = write_report(run, contents_of(gather(recipe)))
    print(f"   open      {shown(page)}")


if __name__ == "__main__":
    cli.run(main)
