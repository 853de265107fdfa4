"""Where studies are kept: a SQLite file for one worker, a database server for any number of them.

Whatever goes wrong with either is said in one line, without the password.
"""

import random
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import optuna.storages
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    IntegrityError,
    NoSuchModuleError,
    PendingRollbackError,
    ProgrammingError,
    SQLAlchemyError,
)

from canet.core.console import REPOSITORY, UserError, shown
from canet.core.files import locked
from canet.core.recipe import Recipe

GRACE_BEATS = 5  # so many heartbeats missed, and a worker counts as dead
MOST_RETRIES = 3  # of a trial whose workers die: it may be what kills them
ATTEMPTS = 6  # to create the tables, where several workers want to at once
SERVER = "--storage postgresql://USER:PASSWORD@HOST/DATABASE"
ERRORS = (SQLAlchemyError, StorageInternalError)
REMEDIES = {  # a part of what the database says, what to do then; the first that fits
    "password": "mend the user or the password in --storage",
    "terminat": "the server ended the connection; the same command continues the search",
    "reconnect": "the server ended the connection; the same command continues the search",
    "server closed": "the server ended the connection; the same command continues the search",
    "too many": "stop some workers, or raise the server's max_connections",
    "connect": "is the server running there, and are host, port and database right?",
    "malformed": "the file is damaged: move it away, and the same command searches anew",
    "not a database": "the file is something else: move it away, or name another with --storage",
    "full": "free some space; the same command continues the search",
    "readonly": f"make it writable, or use {SERVER}",
    "unable to open": "make its folder, and see that it is writable",
    "locked": "another program is writing to it; end that one, and repeat the command",
}


if hasattr(optuna.storages, "RetryHeartbeatStaleTrialCallback"):  # 4.9 renamed both
    RETRY, Retry = (
        "heartbeat_stale_trial_callback",
        optuna.storages.RetryHeartbeatStaleTrialCallback,
    )
else:
    RETRY, Retry = "failed_trial_callback", optuna.storages.RetryFailedTrialCallback


class Storage(RDBStorage):
    """Optuna's storage, whose heartbeats go on after a lost connection."""

    def record_heartbeat(self, trial_id: int) -> None:
        """Give a sign of life for a trial; where it fails, the next may get through."""
        with suppress(*ERRORS):
            super().record_heartbeat(trial_id)


def database_url(recipe: Recipe) -> URL:
    """The recipe's storage, or a SQLite file in the run's folder.

    Raises:
        UserError: what the recipe or `--storage` says is no URL.
    """
    text = recipe.machine.storage or f"sqlite:///{recipe.run_folder / 'optuna.db'}"
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # neither is shown: they may quote a password
        raise UserError(
            f"--storage is no database URL: expected {SERVER[10:]} or sqlite:///FILE, "
            f"special characters in the password as %XX"
        ) from None
    if url.drivername in ("postgresql", "postgres"):  # SQLAlchemy 2.0 would want psycopg 2
        url = url.set(drivername="postgresql+psycopg")
    return url


def storage_url(recipe: Recipe) -> str:
    """`database_url` as text, the password included."""
    return database_url(recipe).render_as_string(hide_password=False)


def shown_url(recipe: Recipe) -> str:
    """The storage's URL for messages: without password, relative where it is in the repository."""
    url = database_url(recipe)
    if "password" in url.query:
        url = url.update_query_dict({"password": "***"})
    return url.render_as_string(hide_password=True).replace(f"{REPOSITORY}/", "")


def takes_several(recipe: Recipe) -> bool:
    """Whether several workers may search at once: on a server, but not in a SQLite file."""
    return database_url(recipe).get_backend_name() != "sqlite"


@contextmanager
def open_storage(recipe: Recipe, *, to_read: bool = False) -> Iterator[Storage]:
    """Optuna's storage for as long as the block lasts; a SQLite file belongs to it alone.

    Args:
        recipe: says where it is.
        to_read: nothing will be written, so that others may be searching meanwhile.

    Raises:
        UserError: another worker uses the SQLite file, the database cannot be reached, is damaged
            or full, at the start or anywhere in the block.
    """
    recipe.run_folder.mkdir(parents=True, exist_ok=True)
    with _in_one_line(recipe), nullcontext() if to_read else _alone(recipe):
        storage = _connect(recipe)
        try:
            yield storage
        finally:
            storage.remove_session()
            storage.engine.dispose()


def _connect(recipe: Recipe) -> Storage:
    for attempt in range(ATTEMPTS):
        try:
            return _storage(recipe)
        except ERRORS as error:
            raced = isinstance(error, ProgrammingError | IntegrityError)  # others made the tables
            if attempt == ATTEMPTS - 1 or not (raced or was_cut_off(error)):
                raise
            time.sleep(random.uniform(0.1, 0.5))
    raise AssertionError("not reached")


def _storage(recipe: Recipe) -> Storage:
    beat_s = recipe.machine.heartbeat_s
    url = storage_url(recipe).replace("{", "{{").replace("}", "}}")  # Optuna takes a template
    with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
        if not takes_several(recipe):
            return Storage(url, engine_kwargs=_engine_options(recipe))
        return Storage(
            url,
            engine_kwargs=_engine_options(recipe),
            heartbeat_interval=beat_s,
            grace_period=GRACE_BEATS * beat_s,
            **{RETRY: Retry(max_retry=MOST_RETRIES)},
        )


def _engine_options(recipe: Recipe) -> dict:
    """What SQLAlchemy's engine is created with.

    One connection a worker is kept, for there may be many workers. Heartbeats are compared in
    UTC, whatever time zones the workers' machines have; and a worker that is paused inside a
    transaction must not keep what it has locked.
    """
    url = database_url(recipe)
    if url.get_backend_name() == "sqlite":
        return {"connect_args": {"timeout": 60}}  # optuna-dashboard reads at the same time
    options = {"pool_pre_ping": True, "pool_size": 1, "max_overflow": 4}
    if url.get_driver_name() in ("psycopg", "psycopg2"):
        grace_ms = GRACE_BEATS * recipe.machine.heartbeat_s * 1000
        settings = f"-c timezone=utc -c idle_in_transaction_session_timeout={grace_ms}"
        given = {"connect_timeout": 10, "options": settings}
        options["connect_args"] = {k: v for k, v in given.items() if k not in url.query}
    return options


@contextmanager
def _alone(recipe: Recipe) -> Iterator[None]:
    """Keep other workers from a SQLite file; the system frees the lock of a killed one."""
    file = (database_url(recipe).database or "").removeprefix("file:")
    if takes_several(recipe) or file in ("", ":memory:"):
        yield
        return
    path = Path(file).absolute()
    problem = (
        f"{shown(path)}: {{holder}} is searching in it, and SQLite takes one worker; "
        f"wait for its end, or give every worker {SERVER}"
    )
    with locked(path.with_name(f"{path.name}.lock"), problem):
        yield


@contextmanager
def _in_one_line(recipe: Recipe) -> Iterator[None]:
    """Turn what a database or its driver raises into a `UserError`."""
    try:
        yield
    except (*ERRORS, ImportError, RuntimeError, KeyError) as error:
        said = _explain(error, recipe)
        if said is None:  # nothing to do with the database
            raise
        raise UserError(f"{shown_url(recipe)}: {said}") from None


def was_cut_off(error: Exception) -> bool:
    """Whether a server ended a connection that had been good; the next may be."""
    cause = error.__cause__ or error
    return isinstance(cause, PendingRollbackError) or getattr(
        cause, "connection_invalidated", False
    )


def _explain(error: Exception, recipe: Recipe) -> str | None:
    """What went wrong and what to do, None where it is no matter of databases."""
    text = " ".join(str(error).split())
    if isinstance(error, NoSuchModuleError):
        return f"no kind of database that SQLAlchemy knows; expected {SERVER[10:]}"
    if isinstance(error, ERRORS):
        return _say_with_remedy(error, recipe)
    if isinstance(error, ImportError) and isinstance(error.__cause__, ImportError):  # Optuna's
        backend = database_url(recipe).get_backend_name()
        driver = "'psycopg[binary]'" if backend == "postgresql" else f"a driver for {backend}"
        return f"its driver cannot be loaded ({error.__cause__}); pip install {driver}"
    if "compatible with the table schema" in text:
        return text
    if "Record does not exist" in text:
        return "the study was deleted meanwhile; the same command starts anew"
    return None


def _say_with_remedy(error: Exception, recipe: Recipe) -> str:
    """What the database says, with a remedy, and never with the password."""
    cause = error.__cause__ or error
    said = " ".join(str(getattr(cause, "orig", None) or cause).split())
    password = database_url(recipe).password
    if password:
        said = said.replace(str(password), "***")
    remedy = "mend that, and the same command continues the search"
    remedy = next((do for part, do in REMEDIES.items() if part in said.lower()), remedy)
    return f"{said[:300]}; {remedy}"
