"""Runs beside each other: paired differences over the images that they judged."""

import pandas as pd

from canet.core.console import UserError


def compare(f1: list[pd.Series]) -> pd.DataFrame:
    """Each run against the first, on the images that both judged.

    Args:
        f1: each run's F1 by image; their names are the rows.

    Returns:
        `run`, `images` (its own), `f1` (their mean), and for all but the first: images `in_common`,
        mean `difference` on them, its `standard_error` over images (NaN of a single one), on how
        many the run is `better` and `worse`.

    Raises:
        UserError: two runs of one name, an image twice in one, or no image in common.
    """
    first, rows = f1[0], []
    if len({run.name for run in f1}) < len(f1):
        raise UserError("a run is named twice; expected different ones")
    for run in f1:
        if not run.index.is_unique:
            raise UserError(f"{run.name}: an image is there twice")
        row = {"run": run.name, "images": len(run), "f1": run.mean()}
        if run is not first:
            gain = (run - first).dropna()
            if gain.empty:
                raise UserError(f"{run.name} and {first.name} have no image in common")
            row |= {"in_common": len(gain), "difference": gain.mean(), "standard_error": gain.sem()}
            row |= {"better": (gain > 0).sum(), "worse": (gain < 0).sum()}
        rows.append(row)
    counts = dict.fromkeys(("in_common", "better", "worse"), "Int64")
    table = pd.DataFrame(rows)
    return table.astype({k: v for k, v in counts.items() if k in table})
