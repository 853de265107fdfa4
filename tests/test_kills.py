import pytest
from kills import finish, kill_stages, stages
from scripts import Script


def test_killed_stages_end_as_if_nothing_had_happened(tmp_path):
    """The short version of tests/kills.py."""
    outcomes = kill_stages(tmp_path, kills=2, seed=0)
    assert outcomes.keys() == stages(tmp_path).keys()
    assert all(outcome.kills >= 2 for outcome in outcomes.values())


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Stages over a folder that has what each of those below needs."""
    made = stages(tmp_path_factory.mktemp("prepared"))
    for stage in ("make_demo_data", "make_folds", "make_distance_maps"):
        finish(made[stage])
    return made


@pytest.mark.parametrize("stage", ["make_demo_data", "tune_loss", "train_geometry", "baseline"])
def test_sigterm_is_one_line(prepared, stage):
    words = list(prepared[stage])
    words[1:1] = [] if stage == "baseline" else ["--force"]
    script = Script(*words)
    assert script.wait_for("   writes ")  # at work
    script.process.terminate()
    done = script.wait()
    assert done.code == 1 and "stopped; the same command continues" in done.stderr
    assert "Traceback" not in done.stderr
    finish(prepared[stage])
