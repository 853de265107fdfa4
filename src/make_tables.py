"""Train every row of the paper's tables, and of this project's own, and write what came out.

reads   tables/*.yaml, tables/budgets/*.yaml, the data set
writes  runs/tables/NAME/fold-K/ for every training, NAME/fold-K.log beside it,
        results/BUDGET/TABLE.csv and results/BUDGET/tables.md after each

A row is trained once for each split. Rows of several tables that train the same share one training,
what is finished is not trained again, and what was stopped or killed continues. A row that fails is
reported, and the others go on. Width and length of the trainings are those of a budget, for a GPU
or a CPU; --set changes it for all rows but those that are about that very key.

examples:
  python src/make_tables.py                           all tables that the budget has
  python src/make_tables.py table3 table5
  python src/make_tables.py beyond                    what the paper has not: only when named
  python src/make_tables.py table3 --budget cpu       narrow and short: the default without a GPU
  python src/make_tables.py --minutes 25              then save, and say what is left
  python src/make_tables.py --minutes 0               train nothing, write what is there
  python src/make_tables.py --parallel 8 --set train.epochs=60 model.encoder=resblock32
"""

import argparse
import math
import time
from pathlib import Path

from canet.core import cli, console
from canet.core.console import REPOSITORY, UserError, shown
from canet.tables.plan import available, default_budget, path_of, plan_table, trainings_of
from canet.tables.results import PAGE, print_results, write_results
from canet.tables.train import prepare, train_tables


def parse() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    add = parser.add_argument
    add("tables", nargs="*", metavar="TABLE", help="in tables/ (default: all but beyond)")
    cli.add_overrides(parser)
    add("--budget", metavar="NAME", help="in tables/budgets/ (default: cpu where there is no GPU)")
    add("--parallel", type=int, metavar="N", help="trainings at once (default: by cores, up to 5)")
    add("--minutes", type=float, metavar="M", help="stop after so long")
    add("--results", type=Path, metavar="DIR", help="default: results/BUDGET")
    args = parser.parse_args()
    if args.parallel is not None and args.parallel < 1:
        raise UserError(f"--parallel {args.parallel}: expected 1 or more")
    return args


def main() -> None:
    args, began = parse(), time.monotonic()
    deadline = math.inf if args.minutes is None else began + 60 * args.minutes
    budget = args.budget or default_budget(args.overrides)
    results = args.results or REPOSITORY / "results" / budget
    plans = [
        plan_table(path_of(name), args.overrides, budget) for name in args.tables or available()
    ]
    plans = [plan for plan in plans if args.tables or plan.table.by_default]
    written = [results / f"{plan.name}.csv" for plan in plans] + [results / PAGE]
    console.announce(f"tables, budget {budget}", [plan.path for plan in plans], written)
    trainings = trainings_of(plans)
    prepare(plans, trainings)
    for plan in plans:  # what is there: a damaged file is better found now than after an hour
        write_results(plan, trainings, results)
        for planned in plan.rows:
            if planned.left_out:
                print(f"   {plan.name}: {planned.row.name}: not trained; {planned.left_out}")
    outcome = train_tables(plans, trainings, results, at_once=args.parallel, deadline=deadline)
    for plan in plans:
        print_results(plan, write_results(plan, trainings, results))
    print(f"\nall of it: {shown(results / PAGE)}")
    if outcome.left:
        print(f"   time is up: {len(outcome.left)} trainings are left, the same command continues")
    outcome.check(f"{len(trainings)} trainings")


if __name__ == "__main__":
    cli.run(main)
