import optuna
import pytest

from canet.core.recipe import Postprocess
from canet.search.postprocess_space import SPACE, SPURS, named_switches, starts, suggest


def named(tiny, **switches):
    return tiny.model_copy(update={"postprocess": Postprocess(**switches)})


def test_starts_are_the_recipes_own_switches_and_one_piece(tiny):
    found = [suggest(optuna.trial.FixedTrial(start), named(tiny)) for start in starts(named(tiny))]
    assert found == [(0.5, Postprocess()), (0.8, Postprocess(components="one", join="path"))]


@pytest.mark.parametrize(
    "switches",
    [{"components": "one"}, {"components": "any", "thin": True}, {"spur_px": 3}, {"join": "drop"}],
)
def test_what_the_recipe_names_is_in_no_trial(tiny, switches):
    asked = named(tiny, **switches)
    assert named_switches(asked) == sorted(switches)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(20):
        trial = study.ask()
        _, found = suggest(trial, asked)
        assert switches.items() <= found.model_dump().items()
        assert switches.keys().isdisjoint(trial.params)
    assert all(switches.keys().isdisjoint(start) for start in starts(asked))


def test_every_trial_draws_the_same_values(tiny):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(20):
        trial = study.ask()
        _, found = suggest(trial, named(tiny))
        assert trial.params.keys() == {"threshold", "spurs", *SPACE, *SPURS}
        assert not (found.spur_px and found.spur_radii)
        assert found.components == "one" or found.join == Postprocess().join


def test_one_piece_is_kept_where_the_recipe_names_it(tiny):
    one = named(tiny, components="one")
    trial = optuna.trial.FixedTrial(starts(one)[1])
    assert suggest(trial, one) == (0.8, Postprocess(components="one"))
