import os

from canet.core.cores import cores, in_threads


def test_cores_are_those_left_to_this_process(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 7, 9}, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert cores() == 4
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")  # torchrun's processes share them
    assert cores() == 1
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    assert cores() == 1
    monkeypatch.delenv("LOCAL_WORLD_SIZE")
    monkeypatch.delattr(os, "sched_getaffinity")
    assert cores() == 64


def test_threads_keep_the_order():
    assert list(in_threads(lambda x: x * x, range(100))) == [x * x for x in range(100)]
