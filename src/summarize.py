"""Say where a run's results are and how good they are, beside plain thinning.

reads   runs/NAME/, submissions/NAME.zip
writes  nothing

Where the test shapes' labels are known, as in the demo, what comes with the repository is scored on
them too, as far as run.sh has predicted them.

examples:
  python src/summarize.py --recipe demo
"""

from canet.core import cli
from canet.report.summary import print_summary


def main() -> None:
    print_summary(cli.load_recipe(cli.recipe_parser(__doc__, writes=False).parse_args()))


if __name__ == "__main__":
    cli.run(main)
