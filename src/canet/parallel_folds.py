"""Folds side by side: a process each, on the devices that the recipe lists."""

import os
import queue
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from canet.files import UserError


def train_side_by_side(
    command: Sequence[str], folds: Sequence[int | str], devices: Sequence[str]
) -> None:
    """Train every fold; each device has one at a time. What they print is passed on.

    A fold that fails does not stop the others. An interrupt stops all: they save and continue
    with the next call.

    Args:
        command: of one training, to which fold and device are added.
        folds: to train.
        devices: their names; the same may occur twice.

    Raises:
        UserError: folds have failed.
    """
    free: queue.SimpleQueue[str] = queue.SimpleQueue()
    for device in devices:
        free.put(device)
    running: list[subprocess.Popen] = []
    threads = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // devices.count("cpu")))}
    environment = os.environ | (threads if "cpu" in devices else {})

    def train(fold: int | str) -> int:
        device = free.get()
        try:
            words = [*command, f"machine.device={device}", "--fold", str(fold)]
            process = subprocess.Popen(
                words,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                errors="replace",
            )
            running.append(process)
            _pass_on(process, f"   fold {fold} on {device} |")
            return process.wait()
        finally:
            free.put(device)

    pool = ThreadPoolExecutor(len(devices))
    try:
        codes = list(pool.map(train, folds))
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in running:
            process.terminate()
        raise
    finally:
        pool.shutdown()
    failed = [str(fold) for fold, code in zip(folds, codes) if code]
    if failed:
        raise UserError(
            f"fold {', '.join(failed)} failed, see above; mend that and repeat the command: "
            f"finished folds are not trained again"
        )


def _pass_on(process: subprocess.Popen, who: str) -> None:
    """Print a process's lines as they come; a progress bar's are parted by carriage returns."""
    for line in process.stdout:  # which takes a carriage return for the end of a line, too
        if line.strip():
            print(who, line.strip(), flush=True)
