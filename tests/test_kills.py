from kills import kill_stages, stages


def test_killed_stages_end_as_if_nothing_had_happened(tmp_path):
    """The short version of tests/kills.py."""
    outcomes = kill_stages(tmp_path, kills=2, seed=0)
    assert outcomes.keys() == stages(tmp_path).keys()
    assert all(outcome.kills >= 2 for outcome in outcomes.values())
