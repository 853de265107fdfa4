"""Several processes at once; what they do is no training here, so that it takes no time."""

import multiprocessing
import os
import signal
import threading
import time
from types import SimpleNamespace

import pytest
from scripts import run_script
from side_by_side_work import end_in_many_ways, go_on_for_ever, write_metrics

from canet.core.console import UserError
from canet.core.recipe import Machine
from canet.core.recipe_files import load
from canet.training import side_by_side
from canet.training.side_by_side import (
    FoldJob,
    SideBySide,
    for_one_of,
    last_line,
    places,
    train_folds,
)


@pytest.fixture(scope="module", autouse=True)
def fork_server():
    """The first process of `scripts` starts the fork server that all tests share."""
    run_script("score", "--help")


def test_all_are_stopped_where_there_are_no_alarms(monkeypatch):
    """As on Windows."""
    monkeypatch.delattr(signal, "setitimer")
    monkeypatch.setattr(side_by_side.cli, "HAS_ALARM", False)
    process = multiprocessing.get_context("forkserver").Process(target=go_on_for_ever)
    process.start()
    side_by_side._stop([process])
    assert process.exitcode is not None


@pytest.fixture
def jobs(tmp_path) -> list[FoldJob]:
    return [FoldJob(load("demo", given(tmp_path)), fold) for fold in range(4)]


def given(folder) -> list[str]:
    return ["name=tiny", f"machine.runs={folder}", f"data.root={folder}/none", "train.epochs=3"]


def test_one_that_fails_does_not_stop_the_others(jobs, capsys):
    write_metrics(jobs[1].recipe, 1, epochs=2)
    ended = []
    runner = SideBySide(end_in_many_ways, ["cpu", "cuda:7"], label="train", after_each=ended.append)
    outcome = runner.run(jobs)
    assert sorted(job.fold for job in ended) == [0, 3] and not outcome.left
    log = {job.fold: job.log.read_text() for job in jobs}
    assert log[0] == "fold 0 on cpu\n" and log[1] == "fold 1 on cuda:7\nerror: planted\n"
    failed = {job.fold: line for job, line in outcome.failed.items()}
    assert failed.keys() == {1, 2}
    assert failed[1].startswith("error: planted (") and failed[1].endswith("tiny/fold-1.log)")
    assert failed[2].startswith("killed by signal 9, after: fold 2 on ")
    said = capsys.readouterr()
    assert "   failed: fold 1: error: planted (" in said.out
    assert "8/12" in said.err  # epochs: two folds with three, one that failed after two
    with pytest.raises(UserError, match=r"^2 of 4 folds failed: fold \d: .*; fold \d: .*; mend"):
        outcome.check("4 folds")


def test_jobs_count_where_epochs_do_not(jobs, capsys):
    SideBySide(end_in_many_ways, ["cpu"], label="speed", counts_epochs=False).run(jobs[:2])
    assert "1/2" in capsys.readouterr().err


def test_the_deadline_stops_what_runs_and_starts_nothing_more(jobs):
    deadline = time.monotonic() + 0.5
    outcome = SideBySide(go_on_for_ever, ["cpu"] * 3, label="train").run(jobs, deadline)
    assert outcome.left == jobs and not outcome.failed
    assert not jobs[3].log.exists() and not multiprocessing.active_children()
    assert SideBySide(go_on_for_ever, ["cpu"], label="train").run(jobs, deadline).left == jobs


def test_an_interruption_lets_all_save(jobs):
    jobs, done = jobs[:2], threading.Event()

    def interrupt() -> None:
        while not all(job.epochs_done() for job in jobs) and not done.wait(0.01):
            pass
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        SideBySide(go_on_for_ever, ["cpu"] * 2, label="train").run(jobs)
    assert ["saved\n" in job.log.read_text() for job in jobs] == [True, True]
    assert not multiprocessing.active_children()


def test_a_failed_fold_fails_the_command_on_any_devices(tmp_path):
    recipe = load("demo", given(tmp_path))
    with pytest.raises(UserError, match=r"^2 of 2 folds failed: fold \d: error: .*fold-\d.log\)"):
        train_folds(recipe, [0, 1], ["cuda:0", "cuda:1"])  # there is no data set, maybe no GPU


def test_epochs_are_those_in_the_metrics(jobs):
    job = jobs[0]
    assert job.epochs_done() == 0
    for written, counted in ((0, 0), (2, 2), (5, 3)):
        write_metrics(job.recipe, job.fold, written)
        assert job.epochs_done() == counted


def test_the_last_line_is_what_a_terminal_would_show_last(tmp_path):
    log = tmp_path / "a.log"
    assert last_line(log) == "ended without a word"
    log.write_text("first\n10%\r20%\r 30% \r\n\n")
    assert last_line(log) == "30%"


def test_one_for_each_core_of_a_cpu_and_as_many_as_cores_feed_on_gpus(monkeypatch):
    monkeypatch.setattr(side_by_side, "cores", lambda: 2)
    assert places("cpu") == ["cpu"] * 2 and places("cpu", 3) == ["cpu"] * 3
    monkeypatch.setattr(side_by_side, "pick_device", lambda name: SimpleNamespace(type="cuda"))
    monkeypatch.setattr(side_by_side, "cores", lambda: 16)
    assert places("auto") == ["auto"] * 5
    assert sorted(places("cuda:0,cuda:1")) == ["cuda:0"] * 2 + ["cuda:1"] * 2


def test_those_on_gpus_share_the_cores_that_load_images(monkeypatch):
    monkeypatch.setattr(side_by_side, "cores", lambda: 16)
    monkeypatch.setattr(side_by_side.torch.cuda, "is_available", lambda: True)

    def workers(device: str, at_once: int, **own: int) -> int | None:
        machine = for_one_of(Machine(**own), device, at_once)
        assert machine.device == device
        return machine.workers

    assert [workers("cuda:1", n) for n in (2, 5, 40)] == [4, 2, 1]
    assert workers("cuda:1", 1) is workers("cpu", 5) is None  # as without others
    assert workers("cuda:1", 5, workers=7) == 7
