"""The judge and the hostile files themselves: each check fails where it should."""

import pickle

import judge
import pytest
import torch
from broken_files import hostile_checkpoint, hostile_pickle, torch_file, write
from judge import run_and_judge
from scripts import Finished


def test_the_judge_notices_what_it_should(tmp_path, monkeypatch):
    """Each promise of `run_and_judge`, broken on purpose."""
    broken = {
        "a traceback": Finished(1, "", "Traceback (most recent call last):\nValueError: x.png\n"),
        "success": Finished(0, "", ""),
        "two lines": Finished(1, "", "libpng error: no\nerror: x.png: bad\n"),
        "no name": Finished(1, "", "error: bad\n"),
        "another problem": Finished(1, "", "error: x.png: good\n"),
        "a signal": Finished(-11, "", ""),
        "a novel": Finished(1, "", "error: x.png: bad" + "!" * 2000 + "\n"),
    }
    for done in broken.values():
        monkeypatch.setattr(judge, "run_script", lambda *words, done=done: done)
        with pytest.raises(AssertionError):
            run_and_judge(tmp_path, "bad", "x.png", "score")
    right = Finished(1, "", "error: x.png: bad\n")
    monkeypatch.setattr(judge, "run_script", lambda *words: right)
    assert run_and_judge(tmp_path, "bad", "x.png", "score") == right
    monkeypatch.setattr(judge, "run_script", lambda *words: write(tmp_path / "half", b"") and right)
    with pytest.raises(AssertionError):
        run_and_judge(tmp_path, "bad", "x.png", "score")


def test_the_hostile_files_would_run_code(tmp_path):
    trace = tmp_path / "trace"
    pickle.loads(hostile_pickle(trace))
    assert trace.exists()
    trace.unlink()
    checkpoint = write(tmp_path / "c.pt", hostile_checkpoint(trace, torch_file({"a": 1})))
    torch.load(checkpoint, weights_only=False)
    assert trace.exists()
