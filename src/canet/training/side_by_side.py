"""Several trainings at once, each in a process of its own.

The processes are forked from a server that has imported torch: a training starts in a moment, takes
its GPU memory with it when it ends, and what kills it kills no other. A narrow network leaves a
large GPU idle while Python launches its kernels, which others fill.
"""

import math
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch

from canet.core import cli, console
from canet.core.console import REPOSITORY, UserError, printable, shown
from canet.core.cores import cores
from canet.core.recipe import Machine, Recipe
from canet.core.runs import fold_folder
from canet.inference.device import names_of, pick_device
from canet.training.fold import train_fold

POLL_S = 1.0
GRACE_S = 60  # for saving, after being asked to stop
MOST_AT_ONCE = 5  # on one GPU, or on a CPU
CORES_EACH = 3  # of a training on a GPU: one launches kernels, two load images
MOST_LOADERS = 4  # processes that load images, see `loader_workers`


@dataclass(frozen=True, eq=False)
class FoldJob:
    """A fold of a recipe, to be trained in a process of its own."""

    recipe: Recipe
    fold: int | str

    @property
    def folder(self) -> Path:
        return fold_folder(self.recipe, self.fold)

    @property
    def log(self) -> Path:
        """What it prints; not in its folder, which a new training may set aside."""
        return self.folder.with_suffix(".log")

    @property
    def title(self) -> str:
        """What messages call it."""
        return f"fold {self.fold}"

    def epochs_done(self) -> int:
        """Epochs that it has completed, as its `metrics.csv` tells."""
        try:
            rows = (self.folder / "metrics.csv").read_bytes().count(b"\n") - 1
        except OSError:
            return 0
        return min(max(rows, 0), self.recipe.train.epochs)


@dataclass
class Outcome:
    """What became of a list of jobs: last lines of those that failed, and which are left."""

    failed: dict[FoldJob, str] = field(default_factory=dict)
    left: list[FoldJob] = field(default_factory=list)

    def check(self, of: str) -> None:
        """Tell of those that failed, `of` how many.

        Raises:
            UserError: there are some; with the last line of each.
        """
        if self.failed:
            lines = [f"{job.title}: {line}" for job, line in self.failed.items()]
            raise UserError(
                f"{len(self.failed)} of {of} failed: {'; '.join(lines)}; mend that and repeat the "
                f"command: what is finished is not trained again"
            )


def train_folds(
    recipe: Recipe, folds: Sequence[int | str], devices: Sequence[str], *, force: bool = False
) -> None:
    """Train every fold; each device has one at a time.

    Args:
        recipe: resolved.
        folds: their numbers, or `all`.
        devices: their names; the same may occur twice.
        force: start over, see `train_fold`.

    Raises:
        UserError: folds have failed; the others are trained nevertheless.
    """
    jobs = [FoldJob(recipe, fold) for fold in folds]
    print(
        f"   side by side on {', '.join(devices)}; what they print is in "
        f"{', '.join(shown(job.log) for job in jobs)}",
        flush=True,
    )
    outcome = SideBySide(partial(train_fold, force=force), devices, label="train").run(jobs)
    outcome.check(f"{len(jobs)} folds")


def places(devices: str, at_once: int | None = None) -> list[str]:
    """The device of each job that may run at the same time.

    Args:
        devices: a recipe's `machine.device`.
        at_once: on each of them; None: up to five. On a CPU one for each core, which together
            train 1.4 times as fast as one on two cores (docs/experiments/speed.md); on a GPU as
            many as the CPU's cores feed, since more only wait for it.
    """
    names = names_of(devices)
    if at_once is None:
        on_gpu = pick_device(devices).type == "cuda"
        fed = cores() // (CORES_EACH * len(names) if on_gpu else 1)
        at_once = min(MOST_AT_ONCE, max(1, fed))
    return names * at_once


class SideBySide:
    """The same work for several jobs, each in a process; one that fails does not stop the others.

    Args:
        work: called in the process with a recipe, whose device is the job's, and a fold; a function
            of a module, or a `partial` of one. What it prints goes to the job's log.
        devices: of the jobs that may run at the same time, see `places`.
        label: of the progress bar.
        counts_epochs: the bar counts epochs; else trainings.
        after_each: called, here, after each that succeeded.
    """

    def __init__(
        self,
        work: Callable[[Recipe, int | str], object],
        devices: Sequence[str],
        *,
        label: str,
        counts_epochs: bool = True,
        after_each: Callable[[FoldJob], None] = lambda job: None,
    ):
        self.work, self.free, self.label = work, list(devices), label
        self.counts_epochs, self.after_each = counts_epochs, after_each
        self.at_once, self.context = len(devices), _context()
        self.running: dict[BaseProcess, tuple[FoldJob, str]] = {}
        self.outcome = Outcome()

    def run(self, jobs: Sequence[FoldJob], deadline: float = math.inf) -> Outcome:
        """Start them in their order until the deadline, by `time.monotonic`; then stop all.

        An interruption stops all, too: they save, and the same call continues them.
        """
        waiting = deque(jobs)
        self.done = {job: self._done_by(job) for job in jobs}
        options = {"desc": self.label, "unit": "epoch" if self.counts_epochs else "training"}
        options |= {"total": sum(map(self._size_of, jobs)), "initial": sum(self.done.values())}
        with console.progress(**options) as self.bar:
            try:
                while (self.running or waiting) and time.monotonic() < deadline:
                    while waiting and self.free:
                        self._start(waiting.popleft(), self.free.pop(0))
                    self._look_after()
            finally:
                _stop(list(self.running))
            for process, (job, _) in self.running.items():
                if process.exitcode:
                    self.outcome.left.append(job)
                else:  # it ended just then
                    self._conclude(process, job)
        self.outcome.left += waiting
        return self.outcome

    def _start(self, job: FoldJob, device: str) -> None:
        machine = for_one_of(job.recipe.machine, device, self.at_once)
        recipe = job.recipe.model_copy(update={"machine": machine})
        job.log.parent.mkdir(parents=True, exist_ok=True)
        work = partial(self.work, recipe, job.fold)
        process = self.context.Process(target=_work, args=(work, job.log, self.at_once))
        with _package_on_path():
            process.start()
        self.running[process] = job, device

    def _look_after(self) -> None:
        """Wait a moment, then see which have ended and how far the others are."""
        wait([process.sentinel for process in self.running], POLL_S)
        for process in [p for p in self.running if p.exitcode is not None]:
            job, device = self.running.pop(process)
            self.free.append(device)
            self._conclude(process, job)
        self._count({job: self._done_by(job) for job, _ in self.running.values()})

    def _conclude(self, process: BaseProcess, job: FoldJob) -> None:
        if process.exitcode:
            self.outcome.failed[job] = line = explain_exit(process, job.log)
            self.bar.write(f"   failed: {job.title}: {line}")
        else:
            self._count({job: self._size_of(job)})
            self.after_each(job)

    def _size_of(self, job: FoldJob) -> int:
        return job.recipe.train.epochs if self.counts_epochs else 1

    def _done_by(self, job: FoldJob) -> int:
        return job.epochs_done() if self.counts_epochs else 0

    def _count(self, done: dict[FoldJob, int]) -> None:
        self.done |= done
        self.bar.update(sum(self.done.values()) - self.bar.n)  # less where one starts over


def explain_exit(process: BaseProcess, log: Path) -> str:
    """Why a process has failed: its last line, after what killed it."""
    killed = f"killed by signal {-process.exitcode}, after: " if process.exitcode < 0 else ""
    return f"{killed}{last_line(log)} ({shown(log)})"


def last_line(log: Path) -> str:
    """The last line that a process has printed."""
    try:
        lines = log.read_text(errors="replace").split("\n")
    except OSError:
        lines = []
    said = [part.strip() for line in lines for part in line.split("\r") if part.strip()]
    return printable(said[-1]) if said else "ended without a word"


def for_one_of(machine: Machine, device: str, at_once: int) -> Machine:
    """The machine as one of several trainings at once should use it."""
    workers, on_gpu = machine.workers, device != "cpu" and torch.cuda.is_available()
    if workers is None and at_once > 1 and on_gpu:
        workers = max(1, min(MOST_LOADERS, _cores_of_one(at_once) - 1))
    return machine.model_copy(update={"device": device, "workers": workers})


def _cores_of_one(at_once: int) -> int:
    return max(1, cores() // at_once)


def _context() -> multiprocessing.context.BaseContext:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


@contextmanager
def _package_on_path():
    """The fork server imports before it is told where from."""
    before = os.environ.get("PYTHONPATH")
    source = str(REPOSITORY / "src")
    os.environ["PYTHONPATH"] = os.pathsep.join([source, *([before] if before else [])])
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def _work(work: Callable[[], object], log: Path, at_once: int) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number in (1, 2):
        os.dup2(descriptor, number)
    sys.stdout.reconfigure(line_buffering=True)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if at_once > 1:
        torch.set_num_threads(_cores_of_one(at_once))
    cli.run(work)


def _end_with_parent() -> None:
    """Save and end when the parent was killed; nobody would read the results."""
    wait([multiprocessing.parent_process().sentinel])
    os.kill(os.getpid(), signal.SIGTERM)


def _stop(processes: Sequence[BaseProcess]) -> None:
    """SIGTERM, on which trainings save; SIGKILL to those that have not ended after `GRACE_S`."""
    if cli.HAS_ALARM:
        signal.setitimer(signal.ITIMER_REAL, 0)  # waiting is no sign that the interruption was lost
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + GRACE_S
    for process in processes:
        process.join(max(0, deadline - time.monotonic()))
        if process.exitcode is None:
            process.kill()
            process.join()
