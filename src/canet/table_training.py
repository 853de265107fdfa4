"""The trainings of tables, several at once.

Each has a process of its own, forked from a server that has imported torch: it starts in a moment,
takes its GPU memory with it when it ends, and what kills it kills no other. A narrow network
leaves a large GPU idle while Python launches its kernels, which others fill.
"""

import math
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import torch

from canet import stage
from canet.device import describe, names_of, pick_device, resolve_precision
from canet.files import REPOSITORY, UserError, printable, read_json, shown, write_json, write_text
from canet.model_folder import FACTS, load_model
from canet.prediction import predict_levels
from canet.recipe import Machine
from canet.samples import load_training_set
from canet.tables import SCORES, SPEED, Training
from canet.threshold_search import cross_fitted_scores, load_held_out
from canet.timing import seconds_per_image
from canet.training import train_fold

POLL_S = 1.0
GRACE_S = 60  # for saving, after being asked to stop
MOST_AT_ONCE = 5  # on one GPU, or on a CPU
CORES_EACH = 3  # of a training on a GPU: one launches kernels, two load images
SPEED_IMAGES, SPEED_ROUNDS = 32, 3
FROM_FACTS = {"parameters": int, "training_s": float, "device": str, "commit": str}


def train_and_judge(training: Training) -> None:
    """Train, or continue, and write the figures on the held-out images.

    Each of them is judged at a threshold that was chosen on others of them.
    """
    recipe = training.recipe
    write_text(recipe.run_folder / "recipe.yaml", recipe.to_yaml())
    folder = train_fold(recipe, training.fold, averaged=recipe.predict.tta)
    facts = read_json(folder / "model" / FACTS, **FROM_FACTS)
    if not facts:
        raise UserError(f"{shown(folder / 'model' / FACTS)}: damaged; delete {shown(folder)}")
    images = load_held_out(recipe, [folder / "held_out.npz"])
    figures = cross_fitted_scores(images, recipe.postprocess)
    figures |= {key: facts[key] for key in FROM_FACTS} | {"identity": training.identity}
    write_json(folder / SCORES, figures)


def measure_speed(training: Training) -> None:
    """Predict some images over and over and write how many a second that makes."""
    recipe, device = training.recipe, pick_device(training.recipe.machine.device)
    model = load_model(training.folder / "model", device)
    maps = np.array(load_training_set(recipe).maps[:SPEED_IMAGES])
    precision = resolve_precision(recipe.train.precision, device)

    def predict() -> None:
        predict_levels([model.network], maps, device, precision, recipe.predict.batch)

    speed = 1 / seconds_per_image(predict, len(maps), SPEED_ROUNDS)
    facts = {"images_per_s": speed, "batch": recipe.predict.batch, "device": describe(device)}
    write_json(training.folder / SPEED, facts | {"identity": training.identity})


def epochs_done(training: Training) -> int:
    """Epochs that a training has completed, as its `metrics.csv` tells."""
    try:
        rows = (training.folder / "metrics.csv").read_bytes().count(b"\n") - 1
    except OSError:
        return 0
    return min(max(rows, 0), training.recipe.train.epochs)


@dataclass(frozen=True)
class Task:
    """What is done for each training, and how its progress is counted."""

    work: Callable[[Training], None]
    label: str
    unit: str
    size: Callable[[Training], int] = lambda training: 1
    done: Callable[[Training], int] = lambda training: 0


TRAIN = Task(train_and_judge, "train", "epoch", lambda t: t.recipe.train.epochs, epochs_done)
MEASURE = Task(measure_speed, "speed", "network")


def places(devices: str, at_once: int | None = None) -> list[str]:
    """The device of each training that may run at the same time.

    Args:
        devices: a recipe's `machine.device`.
        at_once: on each of them; None: up to five. On a CPU one for each core, which together
            train 1.4 times as fast as one on two cores (EXPERIMENTS.md, Speed); on a GPU as many
            as the CPU's cores feed, since more only wait for it.
    """
    names = names_of(devices)
    if at_once is None:
        on_gpu = pick_device(devices).type == "cuda"
        fed = (os.cpu_count() or 1) // (CORES_EACH * len(names) if on_gpu else 1)
        at_once = min(MOST_AT_ONCE, max(1, fed))
    return names * at_once


@dataclass
class Outcome:
    """What became of a list of trainings: last lines of those that failed, and who is left."""

    failed: dict[Training, str] = field(default_factory=dict)
    left: list[Training] = field(default_factory=list)


class SideBySide:
    """A task for every training, each in a process; one that fails does not stop the others.

    Args:
        task: what to do; what it prints goes to the training's log.
        devices: of the trainings that may run at the same time, see `places`.
        after_each: called, here, after each that succeeded.
    """

    def __init__(self, task: Task, devices: list[str], after_each: Callable[[Training], None]):
        self.task, self.free, self.after_each = task, list(devices), after_each
        self.at_once, self.context = len(devices), _context()
        self.running: dict[BaseProcess, tuple[Training, str]] = {}
        self.outcome = Outcome()

    def run(self, trainings: list[Training], deadline: float = math.inf) -> Outcome:
        """Start them in their order until the deadline, by `time.monotonic`; then stop all."""
        waiting, task = deque(trainings), self.task
        self.done = {t: task.done(t) for t in trainings}
        total = sum(task.size(t) for t in trainings)
        first = sum(self.done.values())
        with stage.progress(total=total, initial=first, desc=task.label, unit=task.unit) as bar:
            self.bar = bar
            try:
                while (self.running or waiting) and time.monotonic() < deadline:
                    while waiting and self.free:
                        self._start(waiting.popleft(), self.free.pop(0))
                    self._look_after()
            finally:
                _stop(list(self.running))
            for process, (training, _) in self.running.items():
                if process.exitcode:
                    self.outcome.left.append(training)
                else:  # it ended just then
                    self._conclude(process, training)
        self.outcome.left += waiting
        return self.outcome

    def _start(self, training: Training, device: str) -> None:
        machine = for_one_of(training.recipe.machine, device, self.at_once)
        recipe = training.recipe.model_copy(update={"machine": machine})
        training.log.parent.mkdir(parents=True, exist_ok=True)
        there = Training(recipe, training.fold, training.rows)
        words = (self.task.work, there, self.at_once)
        process = self.context.Process(target=_work, args=words)
        with _package_on_path():
            process.start()
        self.running[process] = training, device

    def _look_after(self) -> None:
        """Wait a moment, then see who has ended and how far the others are."""
        wait([process.sentinel for process in self.running], POLL_S)
        for process in [p for p in self.running if p.exitcode is not None]:
            training, device = self.running.pop(process)
            self.free.append(device)
            self._conclude(process, training)
        for training, _ in self.running.values():
            self._count(training, self.task.done(training))

    def _conclude(self, process: BaseProcess, training: Training) -> None:
        if process.exitcode:
            self.outcome.failed[training] = why(process, training.log)
            said = f"   failed: {in_words(training)}: {self.outcome.failed[training]}"
            self.bar.write(said)
        else:
            self._count(training, self.task.size(training))
            self.after_each(training)

    def _count(self, training: Training, now: int) -> None:
        self.bar.update(max(0, now - self.done[training]))
        self.done[training] = max(now, self.done[training])


def in_words(training: Training) -> str:
    """Who asks for a training, and its split."""
    more = len(training.rows) - 1
    return f"{training.rows[0]}{f' and {more} more' * (more > 0)}, fold {training.fold}"


def why(process: BaseProcess, log: Path) -> str:
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


def _context() -> multiprocessing.context.BaseContext:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def for_one_of(machine: Machine, device: str, at_once: int) -> Machine:
    """The machine as one of several trainings at once should use it."""
    workers, on_gpu = machine.workers, device != "cpu" and torch.cuda.is_available()
    if workers is None and at_once > 1 and on_gpu:
        workers = max(1, min(CORES_EACH, (os.cpu_count() or 1) // at_once) - 1)
    return machine.model_copy(update={"device": device, "workers": workers})


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


def _work(work: Callable[[Training], None], training: Training, at_once: int) -> None:
    log = os.open(training.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number in (1, 2):
        os.dup2(log, number)
    sys.stdout.reconfigure(line_buffering=True)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if at_once > 1:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // at_once))
    stage.run(lambda: work(training))


def _end_with_parent() -> None:
    """Save and end when the parent was killed; nobody would read the results."""
    wait([multiprocessing.parent_process().sentinel])
    os.kill(os.getpid(), signal.SIGTERM)


def _stop(processes: list[BaseProcess]) -> None:
    """SIGTERM, on which trainings save; SIGKILL to those that have not ended after `GRACE_S`."""
    signal.setitimer(signal.ITIMER_REAL, 0)  # waiting is no sign that the interruption was lost
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + GRACE_S
    for process in processes:
        process.join(max(0, deadline - time.monotonic()))
        if process.exitcode is None:
            process.kill()
            process.join()
