"""What tables say: one CSV a table, and a page of them all."""

from pathlib import Path

import numpy as np
import pandas as pd

from canet.core.console import UserError, shown
from canet.core.files import write_text
from canet.evaluation.score_tables import write_table
from canet.tables.plan import Plan, Table, Training, read_table

PAGE = "tables.md"
TEXTS = ("row", "left_out", "f1_by_split", "device", "budget", "commit", "run")
ADDED_LATER = ("speed_device", "images")  # texts, too; CSVs of before have not got them
NUMBERS = ("paper", "f1", "f1_sd", "change", "change_sd", "pooled_f1", "one_component")
NUMBERS += ("parameters", "training_s", "images_per_s")
COLUMNS = ["row", "left_out", "paper", "f1", "f1_sd", "splits", "change", "change_sd"]
COLUMNS += ["f1_by_split", "pooled_f1", "one_component", "parameters", "training_s"]
COLUMNS += ["images_per_s", "speed_device", "device", "budget", "commit", "images", "run"]
# what a line has from trainings, and keeps where none is here
OF_TRAININGS = ("f1", "f1_sd", "f1_by_split", "pooled_f1", "one_component", "parameters")
OF_TRAININGS += ("training_s", "images_per_s", "speed_device", "device", "commit", "images")
PRINTED = ["row", "paper", "f1", "f1_sd", "splits", "change", "change_sd", "one_component"]
NAMED_BELOW = {"device": "device", "speed_device": "images/s on", "commit": "commit"}
NAMED_BELOW |= {"budget": "budget"}
HEAD = """\
# Tables, rerun

Written by `bash run.sh tables`. F1 is per-image F1 on images that were held out, each judged at a
threshold chosen on others of them; ± is the standard deviation over the splits (their number in
brackets). A change is the mean of the differences on the same splits, ± their standard deviation.
"Paper" is what the paper, or the method's own, prints, for another budget and other images. "One
piece" is the share of predictions in one 8-connected component, before any post-processing that
joins. Training time is that of one split, beside others on the same device; images a second are
measured alone.
"""


def _mean(found: list[dict], key: str) -> float | None:
    return float(np.mean([f[key] for f in found])) if found else None


def _spread(values: list[float]) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def _joined(found: list[dict], key: str) -> str:
    return "; ".join(sorted({one for f in found for one in f[key].split("; ")}))


def _by_split(text: str) -> dict[int, float]:
    """F1 by split, as a CSV has it: `0:0.4291 1:0.4391`."""
    pairs = (pair.split(":") for pair in text.split())
    return {int(split): float(f1) for split, f1 in pairs}


def rows_of(plan: Plan, trainings: list[Training], before: list[dict]) -> pd.DataFrame:
    """A table's figures as they are now, one line a row; empty where nothing is trained yet.

    Args:
        plan: the table.
        trainings: all of its trainings, and maybe others.
        before: lines of earlier CSVs, for rows of which nothing is trained here; the last of the
            same run counts, where it is not of other images or folds.
    """
    by_run = {(t.recipe.name, t.fold): t for t in trainings}
    lines, above = [], []
    for planned in plan.rows:
        own = {} if planned.left_out else {k: by_run[planned.recipe.name, k] for k in plan.splits}
        found = {k: s for k, t in own.items() if (s := t.scores())}
        images = own[plan.splits[0]].judged_on if own else ""
        known = [line for line in before if line["run"] == planned.recipe.name]
        known = [line for line in known if _may_be_of(line["images"], images)]
        earlier = known[-1] if known and own and not found else None
        scores = (
            _by_split(earlier["f1_by_split"]) if earlier else {k: s["f1"] for k, s in found.items()}
        )
        reference = above[0 if plan.table.compare == "first" else -1] if above else {}
        if not planned.left_out:
            above.append(scores)
        changes = [scores[k] - reference[k] for k in sorted(scores.keys() & reference.keys())]
        f1, judged = list(scores.values()), list(found.values())
        speed = own[plan.splits[0]].speed() if plan.table.speed and own else None
        figures = earlier or {
            "f1": _mean(judged, "f1"),
            "f1_sd": _spread(f1),
            "f1_by_split": " ".join(f"{k}:{value:.4f}" for k, value in scores.items()),
            "pooled_f1": _mean(judged, "pooled_f1"),
            "one_component": _mean(judged, "one_component"),
            "parameters": judged[0]["parameters"] if judged else None,
            "training_s": _mean(judged, "training_s"),
            "images_per_s": speed["images_per_s"] if speed else None,
            "speed_device": speed["device"] if speed else "",
            "device": _joined(judged, "device"),
            "commit": _joined(judged, "commit"),
            "images": images if judged else "",
        }
        lines.append(
            {
                "row": planned.row.name,
                "left_out": planned.left_out,
                "paper": planned.row.paper,
                "splits": len(f1),
                "change": float(np.mean(changes)) if changes else None,
                "change_sd": _spread(changes),
                "budget": plan.budget,
                "run": planned.recipe.name,
            }
            | {key: figures[key] for key in OF_TRAININGS}
        )
    return pd.DataFrame(lines, columns=COLUMNS).astype(
        dict.fromkeys(NUMBERS, float) | {"parameters": "Int64"}
    )


def _may_be_of(images: str, here: str) -> bool:
    """Whether a line is of the images and folds that are here, or nothing tells."""
    return not images or not here or images == here


def write_results(plan: Plan, trainings: list[Training], folder: Path) -> pd.DataFrame:
    """Write a table's CSV, and the page anew; nothing where nothing is trained yet.

    A row of which nothing is trained here keeps what any CSV has of the same training on the same
    images and folds: several machines may each train some rows, and tables share rows.

    Args:
        plan: the table.
        trainings: all of its trainings, and maybe others.
        folder: to write into.

    Returns:
        the table.
    """
    path = folder / f"{plan.name}.csv"
    written = [folder / f"{other.stem}.csv" for other in sorted(plan.path.parent.glob("*.yaml"))]
    lines = [
        line
        for other in [*written, path]  # the table's own lines last: they count
        if other.is_file()
        for line in read_results(other).to_dict("records")
    ]
    table = rows_of(plan, trainings, [line for line in lines if line["splits"]])
    if table["splits"].any():
        write_table(path, table)
        write_page(plan.path.parent, folder)
    return table


def print_results(plan: Plan, results: pd.DataFrame) -> None:
    """Show a table's main columns."""
    print(f"\n{plan.table.title} ({plan.table.source})")
    shown_columns = results[PRINTED]
    print(shown_columns.to_string(index=False, na_rep="", float_format="{:.4f}".format))


def write_page(tables: Path, folder: Path) -> None:
    """All tables that have results, as Markdown."""
    known = [(path, read_table(path)) for path in tables.glob("*.yaml")]
    sections = [
        section_of(path.stem, table, read_results(folder / f"{path.stem}.csv"))
        for path, table in sorted(known, key=lambda both: (both[1].source, both[0]))
        if (folder / f"{path.stem}.csv").is_file()
    ]
    write_text(folder / PAGE, "\n".join([HEAD, *sections]))


def read_results(path: Path) -> pd.DataFrame:
    """A CSV that `write_results` wrote.

    Raises:
        UserError: it is damaged.
    """
    try:
        texts = (*TEXTS, *ADDED_LATER)
        found = pd.read_csv(path, dtype=dict.fromkeys(texts, str))
        found = found.astype({"splits": int} | dict.fromkeys(NUMBERS, float))
        found = found.assign(**{key: "" for key in ADDED_LATER if key not in found})
        found = found[[*texts, "splits", *NUMBERS]].fillna(dict.fromkeys(texts, ""))
        for text in found["f1_by_split"]:
            _by_split(text)
        return found
    except (ValueError, KeyError, ArithmeticError, pd.errors.ParserError):
        raise UserError(f"{shown(path)}: damaged; delete it and repeat the command") from None


def section_of(name: str, table: Table, results: pd.DataFrame) -> str:
    """One table as Markdown, with its notes."""
    against = "against the first" if table.compare == "first" else "against the row above"
    heads = ["row", "paper", "F1", against, "pooled F1", "one piece", "parameters", "training"]
    heads += ["images/s"] if table.speed else []
    lines = [f"## {table.title}", "", f"`{name}`: {table.source}.", ""]
    lines += [f"{table.note}\n"] if table.note else []
    lines += [_line(heads), _line(["---"] * len(heads))]
    lines += [_line(_cells(line, table.speed)) for line in results.to_dict("records")]
    lines += ["", *(f"- {row.name}: {row.note}" for row in table.rows if row.note)]
    for row, why in zip(results["row"], results["left_out"]):
        lines += [f"- {row}: not trained, rows are compared without it; {why}"] if why else []
    for key, title in NAMED_BELOW.items():
        said = {one for value in results[key] for one in value.split("; ") if one}
        if said or key != "speed_device":
            lines.append(f"- {title}: {'; '.join(sorted(said))}")
    return "\n".join(lines) + "\n"


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _cells(line: dict, speed: bool) -> list[str]:
    def said(key: str, form: str, scale: float = 1) -> str:
        return "–" if pd.isna(line[key]) else form.format(line[key] * scale)

    spread = "" if pd.isna(line["f1_sd"]) else f" ± {line['f1_sd']:.4f}"
    change = "" if pd.isna(line["change_sd"]) else f" ± {line['change_sd']:.4f}"
    cells = [
        line["row"],
        said("paper", "{:.3f}"),
        said("f1", "{:.4f}") + spread + (f" ({line['splits']})" if line["splits"] else ""),
        said("change", "{:+.4f}") + change,
        said("pooled_f1", "{:.4f}"),
        said("one_component", "{:.0%}"),
        said("parameters", "{:.2f} M", 1e-6),
        said("training_s", "{:.0f} s"),
    ]
    return cells + ([said("images_per_s", "{:.1f}")] if speed else [])
