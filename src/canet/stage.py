"""What every stage script shares: its command line, its progress and when it may be skipped."""

import argparse
import errno
import os
import platform
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import MappingProxyType

from tqdm import tqdm

from canet import recipe as recipes
from canet.default_recipe import choose
from canet.files import (
    REPOSITORY,
    Stopped,
    UserError,
    digest_of,
    read_json,
    sha256_of,
    shown,
    write_json,
)

RANK = int(os.environ.get("RANK", 0))  # of this process among those that torchrun started
IS_FIRST = RANK == 0
IS_ALONE = int(os.environ.get("WORLD_SIZE", 1)) == 1
AGAIN_S = 3.0  # after an interruption that had no effect; longer than any clean-up here takes
DECISIVE = ("src", "pipelines", "tables")  # of the repository, for what comes out
RECORDED_PACKAGES = [
    "torch",
    "segmentation-models-pytorch",
    "albumentations",
    "timm",
    "opencv-python-headless",
    "numpy",
    "scikit-image",
    "scikit-learn",
    "optuna",
]


def parser(description: str) -> argparse.ArgumentParser:
    """A parser that shows the script's docstring, examples included, as its help."""
    return argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def recipe_parser(description: str) -> argparse.ArgumentParser:
    """`parser` with --recipe, --set and --force."""
    p = parser(description)
    p.add_argument("--recipe", metavar="NAME", help="a recipe in pipelines/ (default: what suits)")
    add_overrides(p)
    p.add_argument("--force", action="store_true", help="do it again even if it is current")
    return p


def add_overrides(p: argparse.ArgumentParser) -> None:
    """Add --set."""
    p.add_argument(
        "--set",
        metavar="KEY=VALUE",
        dest="overrides",
        action="extend",
        nargs="+",
        default=[],
        help="override keys of the recipe, such as train.epochs=20",
    )


def add_storage(p: argparse.ArgumentParser) -> None:
    """Add --storage to a stage that runs an Optuna study."""
    p.add_argument("--storage", metavar="URL", help="any RDB for Optuna (default: SQLite)")


def load_recipe(args: argparse.Namespace) -> recipes.Recipe:
    """The recipe that the command line names, or the one that suits this machine."""
    try:
        name = args.recipe or choose(args.overrides)[0]
    except FileNotFoundError as error:
        raise UserError(str(error)) from None
    storage = getattr(args, "storage", None)
    return recipes.load(name, args.overrides + ([f"machine.storage={storage}"] if storage else []))


def run(main: Callable[[], None]) -> None:
    """Run a script: errors a user can mend are one line on stderr and exit code 1.

    SIGTERM ends it like Ctrl-C: temporary files go, and a line says what to do.
    """
    for number in (signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, _interrupt)
    threading.excepthook = _warn_of_thread
    if not IS_FIRST:  # the first process speaks for all
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    try:
        main()
    except KeyboardInterrupt:
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.exit("\nstopped; the same command continues from what is written" if IS_FIRST else 1)
    except Exception as error:
        explained = explain(error)
        if "TORCHELASTIC_ERROR_FILE" in os.environ and explained != 1:
            _tell_torchrun(error)
        if not explained:
            raise
        sys.exit(explained)


def _warn_of_thread(failed: threading.ExceptHookArgs) -> None:
    """Say in one line that a background thread, TensorBoard's, could not write."""
    if isinstance(failed.exc_value, OSError):
        print(f"warning: {failed.exc_value} (in the background)", file=sys.stderr)
    else:
        threading.__excepthook__(failed)


def _interrupt(*_: object) -> None:
    # compiled code may swallow an exception (NumPy's Generator.choice does), so it is raised again
    signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
    raise KeyboardInterrupt


def _tell_torchrun(error: Exception) -> None:
    """Leave the error for the summary with which torchrun ends."""
    from torch.distributed.elastic.multiprocessing.errors import get_error_handler

    get_error_handler().record_exception(error)


def explain(error: Exception) -> str | int | None:
    """What to exit with after an error that a user can mend; None for a fault in the code."""
    kind, who = type(error).__name__, "error" if IS_FIRST else f"error in process {RANK}"
    if isinstance(error, Stopped) and not IS_FIRST:
        return 1  # the first says it
    if "TORCHELASTIC_RUN_ID" in os.environ and _is_lost_connection(error):
        return 1  # another process has ended and says why; torchrun ends them all
    if isinstance(error, UserError):
        return f"{who}: {error}"
    if isinstance(error, MemoryError):
        return f"{who}: out of memory; lower train.batch or predict.batch, or use less data"
    if kind == "OutOfMemoryError":  # torch's, which not every stage imports
        return f"{who}: the device is out of memory; lower train.batch or predict.batch"
    while isinstance(error, RuntimeError) and error.__context__:
        error = error.__context__  # torch.save fails over the file that it could not write
    if isinstance(error, OSError):
        where = f" {shown(Path(error.filename))}" if error.filename else ""
        what = error.strerror or str(error)
        if "requested and" in what:  # numpy, of bytes
            what = os.strerror(errno.ENOSPC)
        return f"{who}:{where} {what}; mend that and repeat the command"
    return None


def _is_lost_connection(error: Exception) -> bool:
    text = str(error)
    return type(error).__name__.startswith("Dist") or (
        "gloo" in text and ("closed" in text or "reset" in text)
    )


def announce(stage: str, reads: Iterable[Path], writes: Iterable[Path]) -> None:
    """Say what a stage reads and writes."""
    print(f"== {stage}")
    print(f"   reads  {', '.join(shown(p) for p in reads) or 'nothing'}")
    print(f"   writes {', '.join(shown(p) for p in writes) or 'nothing'}", flush=True)


def progress(iterable: Iterable | None = None, **options) -> tqdm:
    """A progress bar with remaining time; sparse where the output is no terminal."""
    interval = 0.3 if sys.stderr.isatty() else 10
    options = {"mininterval": interval, "maxinterval": interval, "dynamic_ncols": True} | options
    options["disable"] = options.get("disable", False) or not IS_FIRST
    return tqdm(iterable, **options)


class Stamp:
    """Whether a stage's outputs are those of these settings and inputs, judged by content.

    Args:
        path: where the stamp is kept, beside the outputs.
        settings: everything the outputs depend on, a JSON-like value; inputs as digests.
        outputs: the files the stage writes.
    """

    def __init__(self, path: Path, settings: object, outputs: list[Path]):
        self.path, self.outputs = path, outputs
        self.digest = digest_of(settings)

    def is_current(self) -> bool:
        kept = read_json(self.path, digest=str, outputs=dict)
        if not kept or kept["digest"] != self.digest:
            return False
        return all(
            p.is_file() and kept["outputs"].get(_key(p)) == sha256_of(p) for p in self.outputs
        )

    def write(self, now_at: Mapping[Path, Path] = MappingProxyType({})) -> None:
        """Record the outputs; `now_at` tells where those are that move to their place after."""
        outputs = {_key(p): sha256_of(now_at.get(p, p)) for p in self.outputs}
        write_json(self.path, {"digest": self.digest, "outputs": outputs})


def _key(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def skip(stamp: Stamp, force: bool) -> bool:
    """Whether a stage may be skipped; says so."""
    if force or not stamp.is_current():
        return False
    print(
        "   current for this recipe and these inputs: skipped (--force does it again)", flush=True
    )
    return True


def commit() -> str:
    """The repository's commit, with `+` where code, recipes or tables differ from it."""

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(REPOSITORY), *words], capture_output=True, text=True, check=False
        )
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        return (git("rev-parse", "--short=12", "HEAD") or "unknown") + (
            "+" if git("status", "--porcelain", "--", *DECISIVE) else ""
        )
    except OSError:  # no git on this machine
        return "unknown"


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers depend on."""
    found = {"python": platform.python_version()}
    for name in RECORDED_PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
