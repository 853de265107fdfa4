"""Train every row of the paper's tables, and of this project's own, and write what came out.

reads   tables/*.yaml, tables/budgets/*.yaml, the data set
writes  runs/tables/NAME/fold-K/ for every training, NAME/fold-K.log beside it,
        results/BUDGET/TABLE.csv and results/BUDGET/tables.md after each

A row is trained once for each split. Rows of several tables that train the same share one training,
what is finished is not trained again, and what was stopped or killed continues. A row that fails is
reported, and the others go on. Width and length of the trainings are those of a budget, for a GPU
or a CPU; --set changes it for all rows but those that are about that very key.

examples:
  python src/make_tables.py                           the paper's tables, and two more
  python src/make_tables.py table3 table5
  python src/make_tables.py beyond                    what the paper has not: only when named
  python src/make_tables.py table3 --budget cpu       narrow and short: the default without a GPU
  python src/make_tables.py --minutes 25              then save, and say what is left
  python src/make_tables.py --minutes 0               train nothing, write what is there
  python src/make_tables.py --parallel 8 --set train.epochs=60 model.encoder=resblock32
"""

import argparse
import math
import subprocess
import sys
import time
from pathlib import Path

from canet import stage, tables
from canet.dataset import ImageFolders
from canet.device import pick_device
from canet.files import REPOSITORY, UserError, digest_of, shown
from canet.folds import folds_path
from canet.map_cache import load_maps
from canet.recipe import load as load_recipe
from canet.table_results import PAGE, write_results
from canet.table_training import MEASURE, TRAIN, Outcome, SideBySide, in_words, places
from canet.tables import Plan, Planned, Training, plan_table, trainings_of

PRINTED = ["row", "paper", "f1", "f1_sd", "splits", "change", "change_sd", "one_component"]


def parse() -> argparse.Namespace:
    parser = stage.parser(__doc__)
    parser.add_argument(
        "tables", nargs="*", metavar="TABLE", help="in tables/ (default: all but beyond)"
    )
    stage.add_overrides(parser)
    parser.add_argument(
        "--budget", metavar="NAME", help="in tables/budgets/ (default: cpu where there is no GPU)"
    )
    parser.add_argument(
        "--parallel", type=int, metavar="N", help="trainings at once (default: by cores, up to 5)"
    )
    parser.add_argument("--minutes", type=float, metavar="M", help="stop after so long")
    parser.add_argument("--results", type=Path, metavar="DIR", help="default: results/BUDGET")
    args = parser.parse_args()
    if args.parallel is not None and args.parallel < 1:
        raise UserError(f"--parallel {args.parallel}: expected 1 or more")
    return args


def run_stage(name: str, words: list[str]) -> None:
    """Run another stage for a row.

    Raises:
        UserError: it failed, and has said why.
    """
    command = [sys.executable, str(Path(__file__).with_name(f"{name}.py")), *words]
    if subprocess.run(command, check=False).returncode:
        raise UserError(f"{name} failed, see above")


def prepare(plans: list[Plan]) -> None:
    """What all trainings read is made once, before they start: shapes, folds, maps."""
    for folder, count in {k: v for p in plans for k, v in p.table.generate.items()}.items():
        words = ["--recipe", "base", "--set", f"data.root={folder}", f"demo.train={count}"]
        run_stage("make_demo_data", words)
    rows = [planned for plan in plans for planned in plan.rows]
    for planned in different(rows, "data"):
        run_stage("check_input", planned.words)
    for planned in different(rows, "data", "folds"):
        if not folds_path(planned.recipe).exists():
            run_stage("make_folds", planned.words)
    for planned in different(rows, "data", "input"):
        recipe = planned.recipe
        data = ImageFolders(recipe.data_root, recipe.data)
        for folders in (data, *data.extra):
            load_maps(folders.train_shapes, recipe.input, recipe.cache_folder)


def different(rows: list[Planned], *sections: str) -> list[Planned]:
    """One row for every setting of these sections."""
    return list({digest_of(row.recipe.settings(*sections)): row for row in rows}.values())


def default_budget(overrides: list[str]) -> str:
    """That of the device on which the rows would train."""
    on = load_recipe("base", [o for o in overrides if o.startswith("machine.device=")])
    return "gpu" if pick_device(on.machine.device).type == "cuda" else "cpu"


def train(plans: list[Plan], trainings: list[Training], args, deadline: float) -> Outcome:
    """Train what is not trained yet, then measure speed with nothing else at work."""
    devices = places(plans[0].rows[0].recipe.machine.device, args.parallel)
    wanted = [t for t in trainings if not t.scores()]
    print(
        f"   {len(trainings)} trainings, {len(trainings) - len(wanted)} of them finished; "
        f"{len(devices)} at once",
        flush=True,
    )

    def rewrite(training: Training) -> None:
        asking = {row.partition(":")[0] for row in training.rows}
        for plan in plans:
            if plan.name in asking:
                write_results(plan, trainings, args.results)

    outcome = SideBySide(TRAIN, devices, rewrite).run(wanted, deadline)
    timed = {p.recipe.name for plan in plans if plan.table.speed for p in plan.rows}
    first = {plan.splits[0] for plan in plans}
    unmeasured = [
        t
        for t in trainings
        if t.recipe.name in timed and t.fold in first and t.scores() and not t.speed()
    ]
    if unmeasured and not outcome.left:
        measured = SideBySide(MEASURE, devices[:1], rewrite).run(unmeasured, deadline)
        outcome.failed |= measured.failed
        outcome.left += measured.left
    return outcome


def main() -> None:
    args, began = parse(), time.monotonic()
    deadline = math.inf if args.minutes is None else began + 60 * args.minutes
    names = args.tables or tables.available()
    budget = args.budget or default_budget(args.overrides)
    args.results = args.results or REPOSITORY / "results" / budget
    plans = [plan_table(tables.path_of(name), args.overrides, budget) for name in names]
    plans = [plan for plan in plans if args.tables or plan.table.by_default]
    written = [args.results / f"{plan.name}.csv" for plan in plans] + [args.results / PAGE]
    stage.announce(f"tables, budget {budget}", [plan.path for plan in plans], written)
    prepare(plans)
    trainings = trainings_of(plans)
    for plan in plans:  # what is there: a damaged file is better found now than after an hour
        write_results(plan, trainings, args.results)
        for planned in plan.rows:
            if planned.left_out:
                print(f"   {plan.name}: {planned.row.name}: not trained; {planned.left_out}")
    outcome = train(plans, trainings, args, deadline)
    for plan in plans:
        print(f"\n{plan.table.title} ({plan.table.source})")
        table = write_results(plan, trainings, args.results)[PRINTED]
        print(table.to_string(index=False, na_rep="", float_format="{:.4f}".format))
    print(f"\nall of it: {shown(args.results / PAGE)}")
    if outcome.left:
        print(f"   time is up: {len(outcome.left)} trainings are left, the same command continues")
    if outcome.failed:
        raise UserError(
            f"{len(outcome.failed)} of {len(trainings)} trainings failed: "
            + "; ".join(f"{in_words(t)}: {line}" for t, line in outcome.failed.items())
        )


if __name__ == "__main__":
    stage.run(main)
