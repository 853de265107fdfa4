"""Scripts of src/ as processes of their own that start at once.

A fork server has torch and the package imported, so that a process costs a hundredth of a second
in place of seconds. That is what makes hundreds of kills and malformed files affordable.
"""

import contextlib
import multiprocessing
import os
import runpy
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2] / "src"
PRELOADED = [
    "canet.report.content",
    "canet.search.loss",
    "canet.search.threshold",
    "canet.selection.train",
    "canet.submission.by_network",
    "canet.training.fold",
    "sklearn.ensemble",
    "warm",  # the last: what it freezes is all that is loaded by then
]


@dataclass(frozen=True)
class Finished:
    """What a script left: its exit code (negative: the signal that ended it) and its output."""

    code: int
    stdout: str
    stderr: str


class Script:
    """A running script; its output is in files, so that a killed one has output too."""

    def __init__(self, name: str, *words: object):
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        self.folder = tempfile.TemporaryDirectory()
        argv = [str(SOURCE / f"{name}.py"), *map(str, words)]
        self.process = context.Process(target=_run, args=(argv, self.folder.name, os.getcwd()))
        with _environment():
            self.process.start()

    @property
    def output(self) -> str:
        """What is on stdout so far."""
        path = Path(self.folder.name, "stdout")
        return path.read_text(errors="replace") if path.exists() else ""

    def wait_for(self, text: str, timeout_s: float = 60) -> bool:
        """Whether `text` is on stdout before the script ends."""
        deadline = time.monotonic() + timeout_s
        while text not in self.output:
            if not self.process.is_alive() or time.monotonic() > deadline:
                return text in self.output
            time.sleep(0.002)
        return True

    def wait(self, timeout_s: float = 300) -> Finished:
        self.process.join(timeout_s)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
            raise TimeoutError(f"still running after {timeout_s} s:\n{self.output}")
        errors = Path(self.folder.name, "stderr")
        stderr = errors.read_text(errors="replace") if errors.exists() else ""
        return Finished(self.process.exitcode, self.output, stderr)

    def kill(self) -> Finished:
        """SIGKILL; returns what it left."""
        self.process.kill()
        return self.wait()


def run_script(name: str, *words: object) -> Finished:
    """Run `src/<name>.py` with these words and wait for its end."""
    return Script(name, *words).wait()


@contextlib.contextmanager
def _environment():
    """What the fork server starts with: the package, and one thread, so that tests do not fight."""
    before = dict(os.environ)
    helpers = str(Path(__file__).parent)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(SOURCE), helpers, before.get("PYTHONPATH", "")])
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _run(argv: list[str], folder: str, cwd: str) -> None:
    for number, name in ((1, "stdout"), (2, "stderr")):
        descriptor = os.open(Path(folder, name), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(descriptor, number)
    sys.stdout.reconfigure(line_buffering=True)
    os.chdir(cwd)
    sys.argv = argv
    runpy.run_path(argv[0], run_name="__main__")
