from types import SimpleNamespace

import pytest
from small_tables import write_tables

from canet.core.console import UserError
from canet.core.files import write_text
from canet.core.recipe import Postprocess
from canet.tables import plan as tables
from canet.tables.plan import name_of, plan_table, trainings_of


@pytest.fixture
def folder(tmp_path):
    return write_tables(tmp_path / "tables")


@pytest.mark.parametrize("budget", ["gpu", "cpu"])
@pytest.mark.parametrize("name", tables.available())
def test_the_tables_here_can_be_read_and_trained(name, budget):
    path = tables.path_of(name)
    assert len(tables.read_table(path).rows) >= 4
    plan = plan_table(path, [], budget)
    assert len(plan.splits) >= 3
    assert all(planned.recipe.train.epochs < 200 for planned in plan.rows)
    trained = [planned.recipe.name for planned in plan.trained_rows()]
    assert len(set(trained)) == len(trained)  # a budget may not make rows the same


@pytest.mark.parametrize("budget", ["gpu", "cpu"])
def test_only_rows_about_the_labels_mask_see_it(budget):
    plans = [plan_table(tables.path_of(name), [], budget) for name in tables.available()]
    seeing = {
        f"{plan.name}: {planned.row.name}"
        for plan in plans
        for planned in plan.rows
        if planned.recipe.input.mask == "label"
    }
    beyond = next(plan for plan in plans if plan.name == "beyond")
    assert seeing == {f"beyond: {planned.row.name}" for planned in beyond.rows} | {
        "open_choices: The labels' mask",
        "table4: Repaired distance of the labels' mask",
    }


@pytest.mark.parametrize("budget", ["gpu", "cpu", "cpu_long"])
def test_all_rows_are_judged_with_the_same_postprocessing(budget):
    plans = [plan_table(tables.path_of(name), [], budget) for name in tables.available()]
    found = {p.recipe.postprocess.model_dump_json() for plan in plans for p in plan.rows}
    assert found == {Postprocess().model_dump_json()}


def test_rows_go_before_the_budget_and_the_command_line_changes_the_budget(folder):
    def epochs(*overrides: str) -> dict[str, int]:
        plan = plan_table(folder / "losses.yaml", list(overrides))
        return {p.row.name: p.recipe.train.epochs for p in plan.rows}

    assert epochs() == {"Usual": 9, "Diverging": 9, "Short": 200}
    assert epochs("train.epochs=5") == {"Usual": 5, "Diverging": 5, "Short": 200}
    plan = plan_table(folder / "losses.yaml", ["train.lr=0.5"])
    assert [p.recipe.train.lr for p in plan.rows] == [0.5, 1e30, 0.5]
    assert plan.budget == "train.epochs=9 train.lr=0.5"
    other = plan_table(folder / "losses.yaml", [], "other")
    assert [p.recipe.train.epochs for p in other.rows] == [3, 3, 200]
    with pytest.raises(UserError, match=r"no budget .*none.yaml; there are gpu, other"):
        plan_table(folder / "losses.yaml", [], "none")


def test_what_trains_the_same_is_trained_once_and_first_splits_come_first(folder):
    plans = [plan_table(folder / f"{name}.yaml", []) for name in ("inputs", "losses")]
    found = trainings_of(plans)
    assert [t.fold for t in found] == [0] * 4 + [1] * 4 + [2] * 4
    assert [t.rows for t in found[:4]] == [
        ("inputs: Distance",),
        ("inputs: Usual", "losses: Usual"),
        ("losses: Diverging",),
        ("losses: Short",),
    ]
    assert [t.title for t in found[:2]] == [
        "inputs: Distance, fold 0",
        "inputs: Usual and 1 more, fold 0",
    ]
    other = plan_table(folder / "inputs.yaml", ["data.extra=[input/more]", "predict.batch=2"])
    unlike = plan_table(folder / "inputs.yaml", ["predict.batch=2"])
    assert other.rows[1].recipe.name != found[1].recipe.name == unlike.rows[1].recipe.name
    turned = plan_table(folder / "inputs.yaml", ["predict.tta=true"])  # judged from eight views
    assert turned.rows[1].recipe.name != found[1].recipe.name


def test_a_key_that_comes_or_goes_renames_no_run(folder):
    recipe = plan_table(folder / "inputs.yaml", []).rows[0].recipe

    class More(type(recipe.loss)):
        new: float = 0.0

    more = [recipe.model_copy(update={"loss": More(new=new)}) for new in (0.0, 1.0)]
    assert name_of(more[0]) == name_of(recipe) == recipe.name != name_of(more[1])


def test_trainings_share_the_images_that_they_read_alike(folder):
    path = folder / "losses.yaml"
    more = "  - {name: Drawn anew, set: {augment.relabel: 0.5}}\n"
    more += "  - {name: Others, set: {data.extra: [input/more]}}\n"
    write_text(path, path.read_text() + more)
    found = trainings_of([plan_table(folder / f"{name}.yaml", []) for name in ("inputs", "losses")])
    first = {t.rows[-1].partition(": ")[2]: t.images for t in found if t.fold == 0}
    assert first["Usual"] is first["Diverging"] is first["Short"]
    assert len({first[name] for name in ("Distance", "Usual", "Drawn anew", "Others")}) == 4
    assert len({t.images for t in found}) == 4


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("paper", "papr", "did you mean rows.paper"),
        ("input.kind", "input.kinds", "Distance: recipe paper: unknown key input.kinds"),
        ("name: Usual", "name: Usual, recipe: nothing", "Usual: no recipe nothing"),
        ("name: Usual", "name: Usual, recipe: geometry", "trains no network"),
        ("name: Usual", "name: Distance", "two rows are named Distance"),
        ("paper: 0.8", "paper: 80", "paper is 80"),
    ],
)
def test_a_wrong_table_is_one_line(folder, old, new, message):
    path = folder / "inputs.yaml"
    write_text(path, path.read_text().replace(old, new))
    with pytest.raises(UserError, match=message):
        plan_table(path, [])


def test_an_unknown_table_names_those_that_exist():
    with pytest.raises(UserError, match=r"no table table9; there are .*table3"):
        tables.path_of("table9")


def test_a_budget_can_leave_a_table_out_and_names_what_exists(folder):
    path = folder / "budgets/gpu.yaml"
    whole = path.read_text()
    write_text(path, whole + "leave_out: {losses: too long}\n")
    plans = [plan_table(folder / f"{name}.yaml", []) for name in ("inputs", "losses")]
    assert {p.left_out for p in plans[1].rows} == {"too long"}
    assert {row.partition(":")[0] for t in trainings_of(plans) for row in t.rows} == {"inputs"}
    for unknown in ("{loses: too long}", "{losses: {Divergin: too long}}"):
        write_text(path, whole + f"leave_out: {unknown}\n")
        with pytest.raises(UserError, match=r"leave_out names (loses|losses: Divergin); no such"):
            plan_table(folder / "losses.yaml", [])


def test_the_budget_is_that_of_the_device(monkeypatch):
    def pick(name: str) -> SimpleNamespace:
        return SimpleNamespace(type="cpu" if name == "cpu" else "cuda")

    monkeypatch.setattr(tables, "pick_device", pick)
    assert tables.default_budget(["train.epochs=3"]) == "gpu"
    assert tables.default_budget(["train.epochs=3", "machine.device=cpu"]) == "cpu"
