"""What every stage script shares: its command line, its progress and when it may be skipped."""

import argparse
import errno
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from canet.core.console import IS_FIRST, RANK, Stopped, UserError, shown
from canet.core.default_recipe import choose
from canet.core.gpus import is_out_of_memory
from canet.core.recipe import Recipe
from canet.core.recipe_files import load

INTERRUPTED = threading.Event()  # by SIGTERM or SIGHUP
HAS_ALARM = hasattr(signal, "SIGALRM")  # not on Windows
# Packages that not every way to install brings, and the extra of pyproject.toml that does.
EXTRAS = {"torch": "train", "sklearn": "geometry", "optuna": "geometry", "matplotlib": "geometry"}
AGAIN_S = 3.0  # after an interruption that had no effect; longer than any clean-up here takes


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        takes_keys = any(action.dest == "overrides" for action in self._actions)
        if takes_keys and message.startswith("unrecognized"):
            message += "; a recipe's keys are changed by --set, as in --set train.epochs=20"
        super().error(message)


def parser(description: str) -> argparse.ArgumentParser:
    """A parser that shows the script's docstring, examples included, as its help."""
    return _Parser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


def recipe_parser(
    description: str, default: str | None = None, *, writes: bool = True
) -> argparse.ArgumentParser:
    """`parser` with --recipe and --set.

    Args:
        description: the script's docstring.
        default: a recipe; None: what suits.
        writes: add --force, for a stage that is skipped where it is current.
    """
    p = parser(description)
    told = f"a recipe in pipelines/ (default: {default or 'what suits'})"
    p.add_argument("--recipe", metavar="NAME", default=default, help=told)
    add_overrides(p)
    if writes:
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


def load_recipe(args: argparse.Namespace) -> Recipe:
    """The recipe that the command line names, or the one that suits this machine."""
    try:
        name = args.recipe or choose(args.overrides)[0]
    except FileNotFoundError as error:
        raise UserError(str(error)) from None
    storage = getattr(args, "storage", None)
    return load(name, args.overrides + ([f"machine.storage={storage}"] if storage else []))


def load_network_recipe(args: argparse.Namespace) -> Recipe:
    """`load_recipe`, for stages of networks.

    Raises:
        UserError: the recipe trains none.
    """
    recipe = load_recipe(args)
    if recipe.method != "network":
        raise UserError(f"recipe {recipe.name} trains no network; src/train_geometry.py trains it")
    return recipe


def run(main: Callable[[], None]) -> None:
    """Run a script: errors a user can mend are one line on stderr and exit code 1.

    SIGTERM and SIGHUP end it like Ctrl-C: temporary files go, and a line says what to do.
    """
    _prepare_streams()
    _hear_signals()
    threading.excepthook = _warn_of_thread
    if not IS_FIRST:  # the first process speaks for all
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    try:
        main()
    except KeyboardInterrupt:
        _exit_stopped()
    except Exception as error:
        explained = explain(error)
        if not explained and INTERRUPTED.is_set():
            _exit_stopped()  # compiled code, pydantic's, may make another exception of it
        if "TORCHELASTIC_ERROR_FILE" in os.environ and explained != 1:
            _tell_torchrun(error)
        if not explained:
            raise
        sys.exit(explained)


def _prepare_streams() -> None:
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a file or pipe on Windows lacks most letters
            stream.reconfigure(errors="backslashreplace")


def _hear_signals() -> None:
    signal.signal(signal.SIGTERM, _interrupt)
    hang_up = getattr(signal, "SIGHUP", None)  # of a terminal that is closed; nohup ignores it
    if hang_up and signal.getsignal(hang_up) is not signal.SIG_IGN:
        signal.signal(hang_up, _interrupt)
    if HAS_ALARM:
        signal.signal(signal.SIGALRM, _interrupt)


def interruption_is_heard() -> None:
    """The interruption has had its effect, and is not raised again."""
    if HAS_ALARM:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _exit_stopped() -> NoReturn:
    interruption_is_heard()
    # --force would throw away what a training has written since; a search continues with it
    but = ", a training without --force" if "--force" in sys.argv else ""
    said = f"\nstopped; the same command continues from what is written{but}"
    sys.exit(said if IS_FIRST else 1)


def _warn_of_thread(failed: threading.ExceptHookArgs) -> None:
    """Say in one line that a background thread, TensorBoard's, could not write."""
    if isinstance(failed.exc_value, OSError):
        print(f"warning: {failed.exc_value} (in the background)", file=sys.stderr)
    else:
        threading.__excepthook__(failed)


def _interrupt(*_: object) -> None:
    # compiled code may swallow an exception (NumPy's Generator.choice does), so it is raised again
    if HAS_ALARM:
        signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
    INTERRUPTED.set()
    raise KeyboardInterrupt


def _tell_torchrun(error: Exception) -> None:
    """Leave the error for the summary with which torchrun ends."""
    from torch.distributed.elastic.multiprocessing.errors import get_error_handler

    get_error_handler().record_exception(error)


def explain(error: Exception) -> str | int | None:
    """What to exit with after an error that a user can mend; None for a fault in the code."""
    who = "error" if IS_FIRST else f"error in process {RANK}"
    if isinstance(error, Stopped) and not IS_FIRST:
        return 1  # the first says it
    if "TORCHELASTIC_RUN_ID" in os.environ and _is_lost_connection(error):
        return 1  # another process has ended and says why; torchrun ends them all
    if isinstance(error, UserError):
        return f"{who}: {error}"
    if lacking := _what_is_lacking(error):
        return f"{who}: {lacking}"
    while isinstance(error, RuntimeError) and error.__context__:
        error = error.__context__  # torch.save fails over the file that it could not write
    if isinstance(error, OSError):
        where = f" {shown(Path(error.filename))}" if error.filename else ""
        what = error.strerror or str(error)
        if "requested and" in what:  # numpy, of bytes
            what = os.strerror(errno.ENOSPC)
        return f"{who}:{where} {what}; mend that and repeat the command"
    return None


def _tell_what_is_lacking(kind: type, error: BaseException, trace: object) -> None:
    """One line where a script's imports fail over a package that an extra brings."""
    if isinstance(error, ModuleNotFoundError) and (lacking := _what_is_lacking(error)):
        print(f"error: {lacking}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _tell_what_is_lacking  # scripts import this module first


def _what_is_lacking(error: Exception) -> str | None:
    """Packages or memory, and what to do."""
    if isinstance(error, ModuleNotFoundError) and error.name in EXTRAS:
        return f"{error.name} is missing; pip install '.[{EXTRAS[error.name]}]', or bash run.sh"
    if isinstance(error, MemoryError):
        return "out of memory; lower train.batch or predict.batch, or use less data"
    if is_out_of_memory(error):
        return "the device is out of memory; lower train.batch or predict.batch"
    return None


def _is_lost_connection(error: Exception) -> bool:
    text = str(error)
    return type(error).__name__.startswith("Dist") or (
        "gloo" in text and ("closed" in text or "reset" in text)
    )
