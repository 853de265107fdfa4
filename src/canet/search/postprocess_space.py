"""Which switches of the post-processing the threshold search may choose, and from what."""

import optuna

from canet.core.recipe import Postprocess, Recipe

# `per_shape` is left to who wants it: labels are one piece, so it could win by chance only.
# A range is a tuple, a choice a list; part of a search's identity. Choosing among the
# candidates is left to who asks for it: it is no longer the network alone that draws.
SPACE = {
    "min_component_px": (0, 20),
    "components": ["any", "one"],
    "join": ["drop", "path"],
    "thin": [False, True],
}
SPURS = {"spur_px": (2, 20), "spur_radii": (0.1, 1.5)}


def named_switches(recipe: Recipe) -> list[str]:
    """What the recipe or an override says itself, whichever value: the search keeps that."""
    return sorted(recipe.postprocess.model_fields_set)


def suggest(trial: optuna.Trial, recipe: Recipe) -> tuple[float, Postprocess]:
    """Threshold and switches of a trial; staying inside the shape is always the recipe's.

    Every trial draws every free value, used or not, since the Gaussian process models only what
    all trials have.
    """
    threshold = trial.suggest_float("threshold", 0.02, 0.98)
    named, values = named_switches(recipe), recipe.postprocess.model_dump()
    values |= {key: _draw(trial, key, of) for key, of in SPACE.items() if key not in named}
    if SPURS.keys().isdisjoint(named):
        trimmed = trial.suggest_categorical("spurs", ["kept", *SPURS])
        drawn = {key: _draw(trial, key, of) for key, of in SPURS.items()}
        values |= {key: value for key, value in drawn.items() if key == trimmed}
    if values["components"] == "any":
        values["join"] = recipe.postprocess.join  # nothing is joined: one way to say so
    return threshold, Postprocess(**values)


def _draw(trial: optuna.Trial, key: str, of: tuple | list):
    if isinstance(of, list):
        return trial.suggest_categorical(key, of)
    suggest = trial.suggest_float if isinstance(of[0], float) else trial.suggest_int
    return suggest(key, *of)


def starts(recipe: Recipe) -> list[dict]:
    """The parameters to try first: the recipe's own, and one piece joined by paths."""
    named = named_switches(recipe)
    own = {key: getattr(recipe.postprocess, key) for key in SPACE if key not in named}
    if SPURS.keys().isdisjoint(named):
        own |= {"spurs": "kept", "spur_px": 4, "spur_radii": 0.5}
    joined = own | {k: v for k, v in {"components": "one", "join": "path"}.items() if k in own}
    return [{"threshold": 0.5} | own] + [{"threshold": 0.8} | joined]
