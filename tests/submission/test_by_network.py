"""Skeletons by a run's networks: threshold and switches, sizes, views."""

from argparse import ArgumentParser
from dataclasses import replace

import numpy as np
import pytest
import torch

from canet.core import cli
from canet.core.console import UserError
from canet.core.files import write_json
from canet.core.recipe import Postprocess
from canet.core.runs import finished_folds
from canet.data.input_maps import input_maps
from canet.data.windows import window_of
from canet.geometry.metrics import component_count
from canet.inference.trained_run import load_run
from canet.submission.by_network import (
    Networks,
    network_predictor,
    with_switches,
    with_threshold,
)
from canet.submission.make import add_options

CPU = torch.device("cpu")


def options(*words: str):
    parser = ArgumentParser()
    add_options(parser)
    cli.add_overrides(parser)
    return parser.parse_args([*words, "--device", "cpu"])


@pytest.fixture
def run(trained):
    return load_run(trained.run_folder, [], CPU)


def test_the_command_line_goes_over_what_was_tuned(run):
    assert run.threshold == 0.5 and run.threshold_origin == "default, nothing was tuned"
    assert with_threshold(run, None) is run and with_switches(run, options()) is run
    found = with_threshold(run, 0.3)
    assert (found.threshold, found.threshold_origin) == (0.3, "--threshold")
    given = options("--components", "one", "--spur-px", "0")
    found = with_switches(run, given)
    assert found.postprocess == run.postprocess.model_copy(update={"components": "one"})
    assert found.threshold_origin.endswith("; components, spur_px set by hand")


@pytest.mark.parametrize("threshold", [0, 1, -0.1, float("nan")])
def test_a_threshold_is_a_number_between_0_and_1(run, threshold):
    with pytest.raises(UserError, match=f"--threshold {threshold}: expected a number between"):
        with_threshold(run, threshold)


@pytest.mark.parametrize("length", ["-0.5", "nan", "inf"])
def test_lengths_of_spurs_are_numbers_from_0_up(run, length):
    with pytest.raises(UserError, match=f"--spur-radii {length}: expected 0 or more"):
        with_switches(run, options(f"--spur-radii={length}"))


def test_shapes_of_each_size_are_predicted_together_and_come_back_at_it(run):
    shapes = {}
    for name, (height, width) in {"a": (40, 64), "b": (33, 50), "c": (40, 64)}.items():
        shapes[name] = np.zeros((height, width), np.uint8)
        shapes[name][6:-6, 8:-8] = 255
    asked = []
    run.models[0].network.register_forward_hook(lambda _, given, __: asked.append(given[0].shape))
    networks = Networks(run, CPU, "float32", batch=8, tta=False)
    found = networks.predict(shapes)
    assert {name: s.shape for name, s in found.items()} == {n: s.shape for n, s in shapes.items()}
    assert all(s.any() and not (s & (shapes[n] == 0)).any() for n, s in found.items())
    stride = run.models[0].network.encoder.output_stride
    assert [tuple(s) for s in asked] == [
        (2, 1, -(-40 // stride) * stride, -(-64 // stride) * stride),
        (1, 1, -(-33 // stride) * stride, -(-50 // stride) * stride),
    ]
    assert (found["a"] == found["c"]).all()
    alone = networks.predict({"b": shapes["b"]})
    assert (alone["b"] == found["b"]).all()


def test_pieces_that_are_not_drawn_are_told_of(run, capsys):
    shape = np.zeros((64, 64), np.uint8)
    shape[5:25, 5:60] = shape[40:60, 5:60] = 255
    for components, pieces in (("per_shape", 2), ("one", 1)):
        own = replace(run, postprocess=Postprocess(components=components))
        drawn = Networks(own, CPU, "float32", batch=1, tta=False).predict({"two.png": shape})
        assert component_count(drawn["two.png"]) == pieces
        warned = "two.png has 2 pieces, one of them is drawn" in capsys.readouterr().out
        assert warned == (pieces == 1)


def test_facts_tell_what_a_submission_depends_on(trained):
    identity = finished_folds(trained.run_folder)["0"]["identity"]
    tuned = {"threshold": 0.4, "postprocess": {"thin": True}, "study": "s", "images": 5}
    write_json(trained.run_folder / "threshold.json", tuned | {"trained": {"0": identity}})
    predictor = network_predictor(options(), None, trained.run_folder)
    assert "1 model(s), threshold 0.400 (s, 5 held-out images), " in predictor.said
    assert "1 view" in predictor.said
    facts = predictor.facts
    assert facts["threshold"] == 0.4 and facts["postprocess"]["thin"] and not facts["tta"]
    assert [c["fold"] for c in facts["checkpoints"]] == [0] and "machine" not in facts["recipe"]
    views = network_predictor(options("--tta"), None, trained.run_folder)
    assert views.facts["tta"] and "8 views" in views.said
    assert "5 held-out images of single models, one view" in views.said  # tuned for other views
    by_recipe = network_predictor(options(), trained, trained.run_folder)
    assert by_recipe.facts == facts
    one = Postprocess(components="one", join="drop")
    named = trained.model_copy(update={"postprocess": one})
    wanted = network_predictor(options(), named, trained.run_folder)
    switches = wanted.facts["postprocess"]
    assert (switches["components"], switches["join"], switches["thin"]) == ("one", "drop", True)
    assert "components, join as the recipe says" in wanted.said


def networks_that_see(window: str, trained, *, tta: bool) -> Networks:
    run = load_run(trained.run_folder, [], CPU)
    (model,) = run.models
    seen = model.recipe.input.model_copy(update={"window": window})
    recipe = model.recipe.model_copy(update={"input": seen})
    run = replace(run, models=[replace(model, recipe=recipe)])
    return Networks(run, CPU, "float32", batch=4, tta=tta)


@pytest.mark.parametrize("tta", [False, True])
@pytest.mark.parametrize("size", [(96, 128), (100, 141), (560, 600)])  # the last in tiles
def test_networks_look_at_the_window_that_they_were_trained_on(trained, size, tta):
    shape = np.zeros(size, np.uint8)
    shape[30:70, 20:45] = 255
    seen = networks_that_see("shape", trained, tta=tta).levels([shape])[0]
    whole = networks_that_see("image", trained, tta=tta).levels([shape])[0]
    rows, columns = window_of(input_maps([shape], trained.input)[0])
    assert (rows.stop - rows.start, columns.stop - columns.start) == (64, 32)
    outside = np.ones(size, bool)
    outside[rows, columns] = False
    assert whole[outside].any() and seen[rows, columns].any() and not seen[outside].any()
