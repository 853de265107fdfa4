"""What the page says: tables, pictures and words, made from facts for the template."""

import shlex
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from pandas.api.types import is_numeric_dtype

from canet.core.console import REPOSITORY, printable, shown
from canet.core.images import encode_png
from canet.core.recipe import Machine, Recipe
from canet.core.recipe_files import available, load
from canet.data.data_set import class_of
from canet.evaluation.pictures import EXTRA, MISSED
from canet.geometry.candidates import CANDIDATES
from canet.geometry.metrics import summarize
from canet.postprocess.skeleton import in_words
from canet.report import plots
from canet.report.facts import Facts
from canet.report.held_out import HeldOut
from canet.report.page import Picture, Row
from canet.report.tiles import Tile, extremes, repaired_of, tiles_of

SHARP_PX = 224  # wide as a tile on a page; larger pictures are shrunk, and smoothly
CLASSES_ABREAST = 3
FORMS = {"one_component": "{:.0%}", "share": "{:.1%}", "threshold": "{:.3f}"}
FORMS |= {"ms_per_image": "{:.1f}"}


def contents_of(facts: Facts) -> dict:
    """What the template is filled with; parts that a run does not have are empty."""
    held_out, recipe = facts.held_out, facts.recipe
    content = {
        "name": printable(recipe.name),
        "geometry": recipe.method == "geometry",
        "architecture": recipe.model.architecture,
        "encoder": recipe.model.encoder,
        "folds": ", ".join(f"fold {t.fold}" for t in facts.trainings),
        "recipe": recipe.to_yaml(),
        "data": data_of(facts),
        "number": held_out.cross_fitted if held_out else None,
        "images": len(held_out.names) if held_out else 0,
        "curves": curves_of(facts),
        "searches": searches_content(facts),
        "trainings": trainings_of(facts),
        "commands": commands_of(recipe),
        "folder": shown(recipe.run_folder / "report"),
        "results": None,
    }
    return content | (judged(facts, held_out) if held_out else {})


def judged(facts: Facts, held_out: HeldOut) -> dict:
    """The parts of the page that need held-out images."""
    worst, best = extremes([s.f1 for s in held_out.scores])
    tuned = held_out.tuned
    return {
        "results": results_of(facts, held_out),
        "threshold": tuned and tuned["threshold"],
        "switches": tuned and in_words(tuned["postprocess"]),
        "plain": tuned and tuned["postprocess"].is_plain,
        "sweep": sweep_of(facts, held_out),
        "histogram": plot(
            "f1-histogram",
            plots.f1_histogram(held_out.scores),
            alt="Histogram of the F1 of each held-out image",
            caption="F1 of each held-out image, with the run's own threshold."
            if tuned
            else "F1 of each held-out image.",
        ),
        "input_kind": facts.recipe.input.kind,
        "colours": {"missed": MISSED, "extra": EXTRA},
        "worst": [image_row(held_out, i, f"worst-{k + 1}") for k, i in enumerate(worst)],
        "best": [image_row(held_out, i, f"best-{k + 1}") for k, i in enumerate(best)],
        "pieces": pieces_content(held_out),
        "repaired": [
            Row(printable(name), "", pictures_of(tiles, name, f"holes-{k}"))
            for k, (name, tiles) in enumerate(repaired_of(facts.recipe, held_out), 1)
        ],
        "choices": choices_of(facts, held_out),
        "classes": classes_of(held_out),
    }


def plot(file: str, figure: Figure, *, alt: str, caption: str) -> Picture:
    return Picture(f"{file}.svg", plots.svg_of(figure), alt, caption)


def data_of(facts: Facts) -> str:
    """Which data, in words."""
    recipe = facts.recipe
    generated = "generated shapes in " if (recipe.data_root / "generated.json").exists() else ""
    return f"{generated}{shown(recipe.data_root)}, {recipe.folds.count} {recipe.folds.scheme} folds"


def results_of(facts: Facts, held_out: HeldOut) -> dict:
    """The table of results: its columns, those without any value left out, and its rows."""
    name, tuned = printable(facts.recipe.name), held_out.tuned
    own = f"{name}, {'at its threshold' if tuned else 'out of fold'}"
    rows = [
        {"kind": "main", "method": f"{name}, cross-fitted", "f1": held_out.cross_fitted},
        {"method": own, "threshold": tuned and tuned["threshold"], **summarize(held_out.scores)},
    ]
    folds = sorted(set(held_out.folds), key=int)
    for k in folds if len(folds) > 1 else []:
        of_fold = [s for s, fold in zip(held_out.scores, held_out.folds) if fold == k]
        said = f"fold {k}, {len(of_fold)} images"
        rows.append({"kind": "part", "method": said, **summarize(of_fold)})
    if held_out.plain:
        plain = tuned["threshold_without_postprocessing"]
        said = "without post-processing"
        rows.append({"method": said, "threshold": plain, **summarize(held_out.plain)})
    if facts.classical is not None:
        rows += [
            {"kind": "classical", "method": str(method).replace("_", " "), **row.to_dict()}
            for method, row in facts.classical.iterrows()
        ]
    columns = {
        "f1": "per-image F1",
        "pooled_f1": "pooled F1",
        "f1_within_1px": "F1 within 1 px",
        "one_component": "in one piece",
        "threshold": "threshold",
        "ms_per_image": "ms an image",
    }
    there = {k: v for k, v in columns.items() if any(not missing(r.get(k)) for r in rows)}
    return {
        "columns": there,
        "rows": [
            {
                "kind": r.get("kind"),
                "method": r["method"],
                "cells": [cell(k, r.get(k)) for k in there],
            }
            for r in rows
        ],
        "several": len(folds) > 1,
    }


def missing(value: object) -> bool:
    return value is None or bool(pd.isna(value))


def cell(column: str, value: float | None) -> str:
    """A figure as the tables show it, – where there is none."""
    if missing(value):
        return "–"
    return FORMS.get(column, "{:.4f}").format(value)


def curves_of(facts: Facts) -> list[Picture]:
    """Loss, learning rate and F1 over the epochs of every fold."""
    trained = [t for t in facts.trainings if t.history is not None and len(t.history)]
    shown_ones = [
        ("loss", "training loss", True, "Training loss, mean of an epoch."),
        ("lr", "learning rate", False, "Learning rate at the end of an epoch."),
        ("f1", "per-image F1", False, "F1 on the fold's held-out images, at each epoch's own best "
         "threshold: to watch the training, not to judge by."),
    ]  # fmt: skip
    found = []
    for column, label, log, said in shown_ones:
        there = [t for t in trained if has_numbers(t.history, column)]
        if there:
            figure = plots.history_figure(there, column, label, log=log)
            found.append(plot(column, figure, alt=f"{label} over epochs", caption=said))
    return found


def has_numbers(table: pd.DataFrame, column: str) -> bool:
    return column in table and is_numeric_dtype(table[column]) and table[column].notna().any()


def sweep_of(facts: Facts, held_out: HeldOut) -> Picture | None:
    """F1 over thresholds, with the trials where the study is still there."""
    if not held_out.tuned:
        return None
    trials = [
        (t.params["threshold"], t.value)
        for search in facts.searches
        for t in search.completed
        if "threshold" in t.params
    ]
    return plot(
        "f1-over-thresholds",
        plots.sweep_figure(held_out, trials),
        alt="Per-image F1 over thresholds",
        caption="F1 over thresholds on all held-out images"
        + (", and Optuna's trials, each with a post-processing of its own." if trials else "."),
    )


def image_row(held_out: HeldOut, i: int, file: str) -> Row:
    """An image with its figures."""
    score, name = held_out.scores[i], held_out.names[i]
    missed, extra = score.labelled - score.hits, score.predicted - score.hits
    said = f"{score.hits} px hit, {missed} missed, {extra} extra; {pieces(score.components)}"
    if held_out.choices is not None:
        row = held_out.choices.iloc[i]
        said += f"; {row['taken']} taken, best {row['best']} (F1 {row['best_f1']:.4f})"
    tiles = pictures_of(tiles_of(held_out.look(i)), name, file)
    return Row(printable(name), f"F1 {score.f1:.4f}: {said}", tiles)


def pieces(count: int) -> str:
    return f"{count} piece" if count == 1 else f"{count} pieces"


def pictures_of(tiles: list[Tile], name: str, file: str) -> list[Picture]:
    return [
        Picture(
            f"{file}-{tile.kind}.png",
            encode_png(tile.image),
            f"{printable(name)}: {tile.caption}",
            tile.caption,
            tile.image.shape[1] <= SHARP_PX,
        )
        for tile in tiles
    ]


def pieces_content(held_out: HeldOut) -> dict:
    """How whole the predictions are, before and after post-processing where there is a before."""
    groups = {"after": held_out.scores}
    if held_out.plain:
        groups = {"before": held_out.plain, "after": held_out.scores}
    rows = {name: summarize(scores) for name, scores in groups.items()}
    broken = any(s.components != 1 for scores in groups.values() for s in scores)
    alt = "Histogram of the number of pieces of a prediction"
    said = f"Pieces of each prediction; {plots.MOST_PIECES}+ is so many or more."
    lines = [
        ("in one piece", "{:.0%}", lambda r: r["one_component"]),
        ("breaks an image", "{:.2f}", lambda r: r["breaks"]),
        ("label missed by more than 1 px", "{:.1%}", lambda r: 1 - r["recall_1px"]),
        ("drawn more than 1 px beside it", "{:.1%}", lambda r: 1 - r["precision_1px"]),
        ("2×2 blocks an image", "{:.1f}", lambda r: r["blocks_2x2"]),
        ("Euler number as the label's", "{:.0%}", lambda r: r["euler_match"]),
    ]
    return {
        "groups": list(rows),
        "lines": [(line, [form.format(of(r)) for r in rows.values()]) for line, form, of in lines],
        "figure": plot("pieces", plots.pieces_histogram(groups), alt=alt, caption=said)
        if broken
        else None,
    }


def choices_of(facts: Facts, held_out: HeldOut) -> dict | None:
    """Which candidates a geometry run took, and what wrong choices cost."""
    if held_out.choices is None:
        return None
    choices, names = held_out.choices, [c.name for c in CANDIDATES]
    f1 = np.array([s.f1 for s in held_out.scores])
    lost = choices["best_f1"].to_numpy() - f1
    right = lost < 1e-6
    alone = facts.singles["f1"] if facts.singles is not None else pd.Series(dtype=float)
    rows = []
    for name in names:
        taken = (choices["taken"] == name).to_numpy()
        share = cell("share", right[taken].mean() if taken.any() else None)
        best = int((choices["best"] == name).sum())
        rows.append((name, int(taken.sum()), best, share, cell("f1", alone.get(name))))
    decisions = facts.recipe.run_folder / "decisions.png"
    return {
        "rows": rows,
        "right": float(right.mean()),
        "lost": float(lost[~right].mean()) if (~right).any() else 0.0,
        "oracle": float(choices["best_f1"].mean()),
        "figure": plot(
            "candidates",
            plots.choices_figure(choices, names),
            alt="How often each candidate was taken and how often it was the best",
            caption="Images for which a candidate is the best, and for which it was taken.",
        ),
        "decisions": Picture(
            "decisions.png",
            decisions.read_bytes(),
            "Three images with their candidates: a clear choice, a close one, a wrong one",
            "A clear and right choice, a close and right one, and the most expensive wrong one.",
        )
        if decisions.is_file()
        else None,
    }


def classes_of(held_out: HeldOut) -> list[list[dict]]:
    """F1 by class, the worst first, in columns of about equal length."""
    f1 = pd.Series([s.f1 for s in held_out.scores])
    groups = f1.groupby([class_of(n) for n in held_out.names])
    table = groups.agg(["count", "mean", "min"]).sort_values("mean", kind="stable")
    rows = [
        {"name": printable(name), **row} for name, row in zip(table.index, table.to_dict("records"))
    ]
    length = max(6, -(-len(rows) // CLASSES_ABREAST))
    return [rows[k : k + length] for k in range(0, len(rows), length)]


def searches_content(facts: Facts) -> list[dict]:
    """Optuna's studies: history, importance of the parameters, the best trial."""
    found = []
    for k, search in enumerate((s for s in facts.searches if s.completed), 1):
        pruned = len(search.trials) - len(search.completed)
        best = max(search.completed, key=lambda t: t.value)
        said = f"{len(search.completed)} completed trials" + (
            f", {pruned} pruned" if pruned else ""
        )
        drawn = plots.trials_figure(search)
        figures = [
            plot(
                f"search-{k}-trials",
                drawn,
                alt=f"F1 of each trial, {search.title}",
                caption=f"{said}.",
            )
        ]
        if search.importance:
            drawn, said = plots.importance_figure(search), "Importance of the parameters"
            alt = f"{said}, {search.title}"
            figures.append(
                plot(f"search-{k}-importance", drawn, alt=alt, caption=f"{said} (fANOVA).")
            )
        parameters = {
            key: f"{value:.4g}" if isinstance(value, float) else str(value)
            for key, value in best.params.items()
        }
        found.append(
            {
                "title": search.title,
                "figures": figures,
                "few": not search.importance,
                "sweep": "threshold" in best.params and swept_higher(facts),
                "best": best,
                "parameters": parameters,
            }
        )
    return found


def swept_higher(facts: Facts) -> bool:
    """Whether the threshold that is used comes from a sweep that found better than the trials."""
    tuned = facts.held_out.tuned if facts.held_out else None
    swept, study = ((tuned or {}).get(key) for key in ("f1_sweep", "f1_study"))
    return isinstance(swept, float) and isinstance(study, float) and swept > study


def trainings_of(facts: Facts) -> list[dict]:
    """Where each trained fold comes from: what, when, how long, on what, with which versions."""
    rows = []
    for training in facts.trainings:
        kept = training.facts
        said = {
            label: printable(form(kept[key]))
            for key, (label, kind, form) in TOLD.items()
            if isinstance(kept.get(key), kind)
        }
        rows.append({"fold": training.fold, "said": said})
    return rows


def duration(seconds: float) -> str:
    """`3.2 s`, `12 min`, `1 h 05 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


# What is told of a training, by its key: label, kind of the value, how it is written.
TOLD = {
    "training_images": ("trained on", list, lambda names: f"{len(names)} images"),
    "images": ("trained on", int, "{} images".format),
    "parameters": ("parameters", int, "{:,}".format),
    "training_s": ("training time", float | int, duration),
    "fitted_s": ("training time", float | int, duration),
    "device": ("device", str, str),
    "precision": ("precision", str, str),
    "processes": ("processes", int, str),
    "finished_at": ("finished", str, str),
    "commit": ("commit", str, str),
    "versions": ("versions", dict, lambda of: ", ".join(f"{k} {v}" for k, v in of.items())),
}


def commands_of(recipe: Recipe) -> list[str]:
    """The commands that make the run and this page again."""
    known = recipe.name in available()
    same = known and load(recipe.name).stored() == recipe.stored()
    folder, runs = (_from_repository(p) for p in (recipe.run_folder, recipe.run_folder.parent))
    source = recipe.name if same else f"{folder}/recipe.yaml"
    again, run = ["bash", "run.sh", source], recipe.name
    if Path(runs) != Machine().runs:
        again, run = [*again, f"machine.runs={runs}"], folder
    return [shlex.join(again), shlex.join(["python", "src/report.py", "--run", run])]


def _from_repository(path: Path) -> str:
    return str(path.relative_to(REPOSITORY) if path.is_relative_to(REPOSITORY) else path)
