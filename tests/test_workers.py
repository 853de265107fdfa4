"""Many workers in one study on a real PostgreSQL, some of them killed; one worker on SQLite."""

import contextlib
import multiprocessing
import os
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import optuna
import psycopg
import pytest
import torch
from scripts import SOURCE, run_script

from canet import recipe
from canet.database import open_storage
from canet.files import UserError, read_json
from canet.loss_search import recipe_as_trial
from canet.study import open_search
from canet.training import fold_folder

PASSWORD = "right{&/"  # in a URL some of it has to be written as %XX
IN_URL = "right%7B%26%2F"


def initdb() -> str | None:
    """The program that makes a PostgreSQL cluster; Debian keeps it out of PATH."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return shutil.which("initdb") or (str(debian[-1]) if debian else None)


@dataclass(frozen=True)
class Server:
    port: int

    def url(self, password: str = IN_URL) -> str:
        return f"postgresql://me:{password}@127.0.0.1:{self.port}/postgres"


@pytest.fixture(scope="module")
def server():
    """A PostgreSQL of its own, with a password, in a temporary folder."""
    program = initdb()
    if not program:
        pytest.skip("no PostgreSQL here: apt-get install postgresql")
    user = {"user": "postgres"} if os.geteuid() == 0 else {}  # it refuses to be run by root
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder, socket.socket() as probe:
        Path(folder, "password").write_text(PASSWORD)
        if user:
            for path in (folder, f"{folder}/password"):
                shutil.chown(path, "postgres")
        data = ["-D", f"{folder}/data"]
        secret = ["--auth=scram-sha-256", f"--pwfile={folder}/password"]
        make = [program, *data, "-U", "me", "-E", "UTF8", "--no-sync", *secret]
        subprocess.run(make, cwd=folder, check=True, capture_output=True, **user)
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        serve = [str(Path(program).with_name("postgres")), *data, "-p", str(port), "-k", folder]
        serve += ["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
        with open(f"{folder}/log", "w") as log:
            process = subprocess.Popen(serve, cwd=folder, stdout=log, stderr=log, **user)
        try:
            _wait_for(Server(port))
            yield Server(port)
        finally:
            process.send_signal(signal.SIGINT)  # at once, connections or not
            process.wait(30)


def _wait_for(server: Server, timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(server.url()).close()
            return
        assert time.monotonic() < deadline, "PostgreSQL does not start"
        time.sleep(0.05)


@pytest.fixture
def on_server(overrides, server, request) -> list[str]:
    """The tiny recipe's overrides, its study on the server; each test has its own name."""
    name = request.node.name[:40].replace("[", "-").replace("]", "")
    machine = [f"machine.storage={server.url()}", "machine.heartbeat_s=1", "machine.workers=0"]
    return [*overrides, f"name={name}", *machine, "loss_search.epochs=2"]


def trials_of(settings: recipe.Recipe) -> list[optuna.trial.FrozenTrial]:
    """All trials of the one study that this recipe has."""
    with open_storage(settings) as storage:
        names = [s.study_name for s in optuna.get_all_study_summaries(storage=storage)]
        names = [name for name in names if name.startswith(f"{settings.name}: ")]
        return optuna.load_study(study_name=names[0], storage=storage).trials if names else []


def ended(trials: list[optuna.trial.FrozenTrial]) -> list[optuna.trial.FrozenTrial]:
    return [t for t in trials if t.state.name in ("COMPLETE", "PRUNED")]


def start(words: list[str], log: Path) -> multiprocessing.Process:
    """A worker with one thread, for several that share two cores."""
    worker = multiprocessing.get_context("forkserver").Process(target=work, args=(words, log))
    worker.start()
    return worker


def work(words: list[str], log: Path) -> None:
    """Run the script, in a process of its own."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(output, stream)
    torch.set_num_threads(1)
    sys.argv = [str(SOURCE / "tune_loss.py"), *words]
    runpy.run_path(sys.argv[0], run_name="__main__")


def kill_in_a_trial(workers: list[multiprocessing.Process], settings: recipe.Recipe) -> str:
    """SIGKILL one of these workers in the middle of a trial, and return its name."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for worker in [w for w in workers if w.is_alive()]:
            name = f"{socket.gethostname()}:{worker.pid}"
            os.kill(worker.pid, signal.SIGSTOP)  # so that its trial cannot end while this one looks
            running = [t for t in trials_of(settings) if t.state.name == "RUNNING"]
            if any(t.user_attrs.get("worker") == name for t in running):
                worker.kill()
                worker.join()
                return name
            os.kill(worker.pid, signal.SIGCONT)
        time.sleep(0.1)
    raise AssertionError("no worker was found in a trial")


def test_four_workers_two_of_them_killed_end_with_exactly_the_trials_asked_for(
    on_server, tiny_folds, tmp_path
):
    settings = recipe.load("demo", on_server)
    words = ["--recipe", "demo", "--set", *on_server, "--trials"]
    logs = [tmp_path / f"{i}.log" for i in range(4)]
    assert run_script("tune_loss", "--help").code == 0  # a fork server has torch imported now
    workers = [start([*words, "10"], log) for log in logs]
    killed = {kill_in_a_trial(workers, settings) for _ in range(2)}
    for worker in workers:
        worker.join(120)
    assert sorted(worker.exitcode for worker in workers) == [-signal.SIGKILL, -signal.SIGKILL, 0, 0]
    assert all("Traceback" not in log.read_text() for log in logs)

    trials = trials_of(settings)
    assert len(ended(trials)) == 10
    assert {t.state.name for t in trials} <= {"COMPLETE", "PRUNED", "FAIL"}
    given_up = {t.user_attrs.get("worker") for t in trials if t.state.name == "FAIL"}
    assert killed <= given_up
    own = recipe_as_trial(settings.loss)
    assert sum(t.params == own for t in ended(trials)) == 1
    assert len({tuple(t.params.values()) for t in ended(trials)}) == 10

    path = fold_folder(settings, 0) / "tuned_loss.json"
    written = path.read_bytes()
    path.unlink()  # what this worker concludes is what the others did
    assert run_script("tune_loss", *words, "10").code == 0
    assert path.read_bytes() == written and len(trials_of(settings)) == len(trials)

    assert run_script("tune_loss", *words, "12").code == 0
    assert len(ended(trials_of(settings))) == 12 == read_json(path)["trials"]


def worker_of(settings: recipe.Recipe, total: int, pause_s: float) -> None:
    """A worker whose trials take some time; run in processes of their own."""

    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", 0, 1)
        time.sleep(pause_s)
        trial.report(x, 0)
        return x

    with open_search(settings, "plain", 0, optuna.samplers.RandomSampler) as opened:
        opened.run(objective, total, [{"x": 0.5}, {"x": 0.25}], "workers")


def fork(settings: recipe.Recipe, total: int, pause_s: float) -> int:
    process = os.fork()
    if process:
        return process
    try:
        worker_of(settings, total, pause_s)
        os._exit(0)
    finally:
        os._exit(1)


def wait_for_trial(settings: recipe.Recipe, process: int) -> optuna.trial.FrozenTrial:
    """The trial that a process is running."""
    name, deadline = f"{socket.gethostname()}:{process}", time.monotonic() + 30
    while time.monotonic() < deadline:
        for trial in trials_of(settings):
            if trial.state.name == "RUNNING" and trial.user_attrs.get("worker") == name:
                return trial
        time.sleep(0.05)
    raise AssertionError("no trial was begun")


def test_a_worker_that_was_paused_for_too_long_goes_on_with_another_trial(on_server):
    settings = recipe.load("demo", on_server)
    paused = fork(settings, 6, 0.5)
    trial = wait_for_trial(settings, paused)
    os.kill(paused, signal.SIGSTOP)
    other = fork(settings, 6, 0.5)
    assert os.waitpid(other, 0)[1] == 0  # it waited, gave the trial up and did all six itself
    os.kill(paused, signal.SIGCONT)
    assert os.waitpid(paused, 0)[1] == 0
    trials = trials_of(settings)
    assert len(ended(trials)) == 6 and trials[trial.number].state.name == "FAIL"
    assert sum(t.params == {"x": 0.5} for t in ended(trials)) == 1  # which was the paused one's


def test_a_worker_killed_before_its_first_heartbeat_is_found_dead_too(on_server):
    settings = recipe.load("demo", on_server)
    with open_search(settings, "plain", 0) as left, pytest.warns(UserWarning, match="Heartbeat"):
        left.study.ask()
    worker_of(settings, 2, 0)
    assert [t.state.name for t in trials_of(settings)].count("RUNNING") == 0
    assert len(ended(trials_of(settings))) == 2


@pytest.mark.parametrize(
    "storage, said",
    [
        ("postgresql://me:secret@127.0.0.1:{port}/postgres", "password authentication failed"),
        ("postgresql://me:secret@127.0.0.1:1/postgres", "is the server running"),
        ("postgresql://me:" + IN_URL + "@127.0.0.1:{port}/nosuch", "does not exist"),
        ("postgresql://me:secret@127.0.0.1:port/x", "no database URL"),
        ("nosuch://me:secret@host/x", "no kind of database"),
        ("oracle+cx_oracle://me:secret@host/x", "driver cannot be loaded"),
        ("secret", "no database URL"),
    ],
)
def test_what_is_wrong_with_a_database_is_one_line_without_the_password(
    overrides, server, tiny_folds, storage, said
):
    given = storage.format(port=server.port)
    left = run_script("tune_loss", "--recipe", "demo", "--storage", given, "--set", *overrides)
    errors = [line for line in left.stderr.splitlines() if line]
    assert left.code == 1 and len(errors) == 1, left.stderr
    assert errors[0].startswith("error: ") and said in errors[0]
    for secret in ("secret", PASSWORD, IN_URL):
        assert secret not in left.stderr + left.stdout


def end_connections(server: Server, password: str = IN_URL) -> None:
    """Cut all connections but this one, as a server does that restarts."""
    with psycopg.connect(server.url(password), autocommit=True) as connection:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where pid != pg_backend_pid() and usename = 'me'"
        )


def test_a_server_that_goes_down_ends_the_search_in_one_line(server, on_server):
    settings = recipe.load("demo", on_server)

    def objective(trial: optuna.Trial) -> float:
        with psycopg.connect(server.url(), autocommit=True) as connection:  # as if it had
            connection.execute("alter user me password 'another'")
        end_connections(server, "another")
        return trial.suggest_float("x", 0, 1)

    try:
        with (
            pytest.raises(UserError, match=r"^postgresql\S+\*\*\*@.*password.*;"),
            open_search(settings, "down", 0) as opened,
        ):
            opened.run(objective, 2, [], "down")
    finally:
        with psycopg.connect(server.url("another"), autocommit=True) as connection:
            connection.execute(f"alter user me password '{PASSWORD}'")


def test_a_connection_that_is_cut_costs_a_trial_and_not_the_worker(server, on_server):
    settings, cut = recipe.load("demo", on_server), []

    def objective(trial: optuna.Trial) -> float:
        trial.suggest_float("x", 0, 1)
        if not cut:
            cut.append(trial.number)
            end_connections(server)
            opened.study.get_trials()  # inside a trial or out of it
        return 1.0

    with open_search(settings, "cut", 0) as opened:
        opened.run(objective, 3, [], "cut")
        assert len(ended(opened.study.trials)) == 3


def test_a_second_worker_on_sqlite_is_refused_and_a_killed_one_is_not_in_the_way(
    overrides, tiny_folds
):
    settings = recipe.load("demo", overrides)
    first = fork(settings, 1, 60)
    _wait_for_lock(settings)
    left = run_script("tune_loss", "--recipe", "demo", "--set", *overrides)
    assert left.code == 1 and len(left.stderr.splitlines()) == 1
    assert f"{socket.gethostname()}:{first} is searching" in left.stderr
    assert "--storage postgresql://" in left.stderr
    os.kill(first, signal.SIGKILL)
    os.waitpid(first, 0)
    assert run_script("tune_loss", "--recipe", "demo", "--set", *overrides).code == 0


def _wait_for_lock(settings: recipe.Recipe) -> None:
    lock, deadline = settings.run_folder / "optuna.db.lock", time.monotonic() + 30
    while not (lock.is_file() and lock.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("content", [b"", b"no database at all, but long enough to be one" * 99])
def test_a_damaged_sqlite_file_is_one_line(tiny, content):
    with open_search(tiny, "damaged", 0) as opened:
        opened.run(lambda t: t.suggest_float("x", 0, 1), 2, [], "damaged")
    file = tiny.run_folder / "optuna.db"
    whole = file.read_bytes()
    file.write_bytes(content or whole[:4096] + os.urandom(len(whole) - 4096))
    with pytest.raises(UserError, match="move it away"), open_search(tiny, "damaged", 0) as opened:
        opened.run(lambda t: t.suggest_float("x", 0, 1), 4, [], "damaged")
