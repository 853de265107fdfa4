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
import sqlalchemy
import torch
from scripts import SOURCE, run_script

from canet.core.console import UserError
from canet.core.files import HOST, read_json
from canet.core.recipe import Recipe
from canet.core.recipe_files import load
from canet.core.runs import fold_folder
from canet.search.loss import recipe_as_trial
from canet.search.storage import open_storage
from canet.search.study import open_search

STARTS = [{"x": 0.5}, {"x": 0.25}]
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


def trials_of(settings: Recipe) -> list[optuna.trial.FrozenTrial]:
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


def name_of(process: int) -> str:
    return f"{HOST}:{process}"


def kill_in_a_trial(processes: list[int], settings: Recipe) -> int:
    """SIGKILL one of these workers in the middle of a trial, and return its process."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for process in processes if ended(trials_of(settings)) else []:  # the tables are there
            try:
                os.kill(
                    process, signal.SIGSTOP
                )  # so that its trial cannot end while this one looks
            except ProcessLookupError:  # it had no more to do
                continue
            running = [t for t in trials_of(settings) if t.state.name == "RUNNING"]
            if any(t.user_attrs.get("worker") == name_of(process) for t in running):
                os.kill(process, signal.SIGKILL)
                return process
            os.kill(process, signal.SIGCONT)
        time.sleep(0.1)
    raise AssertionError("no worker was found in a trial")


def test_workers_of_the_script_end_with_one_result(on_server, tiny_folds, tmp_path):
    settings = load("demo", on_server)
    words = ["--recipe", "demo", "--set", *on_server, "--trials"]
    logs = [tmp_path / f"{i}.log" for i in range(3)]
    assert run_script("tune_loss", "--help").code == 0  # a fork server has torch imported now
    workers = [start([*words, "12"], log) for log in logs]
    killed = kill_in_a_trial([worker.pid for worker in workers], settings)
    for worker in workers:
        worker.join(120)
    codes = {worker.pid: worker.exitcode for worker in workers}
    assert codes.pop(killed) == -signal.SIGKILL and set(codes.values()) == {0}
    assert all("Traceback" not in log.read_text() for log in logs)

    trials = trials_of(settings)
    assert 12 <= len(ended(trials)) <= 14
    assert {t.state.name for t in trials} <= {"COMPLETE", "PRUNED", "FAIL", "WAITING"}
    own = recipe_as_trial(settings.loss)
    assert sum(t.params == own for t in ended(trials)) == 1

    path = fold_folder(settings, 0) / "tuned_loss.json"
    written = path.read_bytes()
    path.unlink()  # what this worker concludes is what the others did
    assert run_script("tune_loss", *words, "12").code == 0
    assert path.read_bytes() == written and len(trials_of(settings)) == len(trials)

    assert run_script("tune_loss", *words, "15").code == 0
    assert len(ended(trials_of(settings))) == 15 == read_json(path)["trials"]


def worker_of(settings: Recipe, total: int, pause_s: float) -> None:
    """A worker whose trials take some time; run in processes of their own."""

    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", 0, 1)
        time.sleep(pause_s)
        trial.report(x, 0)
        return x

    with open_search(settings, "plain", seed=0, sampler=optuna.samplers.RandomSampler) as opened:
        opened.run(objective, total=total, starts=STARTS, label="workers")


def fork(settings: Recipe, total: int, pause_s: float) -> int:
    process = os.fork()
    if process:
        return process
    try:
        worker_of(settings, total, pause_s)
        os._exit(0)
    finally:
        os._exit(1)


def test_four_workers_two_of_them_killed_end_with_the_trials_asked_for(on_server):
    settings = load("demo", on_server)
    processes = [fork(settings, 40, 0.2) for _ in range(4)]
    killed = []
    for _ in range(2):
        killed.append(kill_in_a_trial([p for p in processes if p not in killed], settings))
    codes = {p: os.waitstatus_to_exitcode(os.waitpid(p, 0)[1]) for p in processes}
    assert all(codes[p] == (-signal.SIGKILL if p in killed else 0) for p in processes)

    trials = trials_of(settings)
    assert 40 <= len(ended(trials)) <= 43
    assert all(t.state.name != "RUNNING" for t in trials)
    assert all(sum(t.params == start for t in ended(trials)) == 1 for start in STARTS)
    given_up = [t for t in trials if t.state.name == "FAIL"]
    assert {name_of(p) for p in killed} <= {t.user_attrs.get("worker") for t in given_up}


def test_a_worker_that_was_paused_for_too_long_goes_on_with_another_trial(on_server):
    settings = load("demo", on_server)
    paused = fork(settings, 6, 0.5)
    number = wait_for_trial(settings, paused)
    os.kill(paused, signal.SIGSTOP)
    other = fork(settings, 6, 0.5)
    assert os.waitpid(other, 0)[1] == 0  # it gave the trial up and did all itself, its start too
    os.kill(paused, signal.SIGCONT)
    assert os.waitpid(paused, 0)[1] == 0
    trials = trials_of(settings)
    assert 6 <= len(ended(trials)) <= 7 and trials[number].state.name == "FAIL"
    assert sum(t.params == {"x": 0.5} for t in ended(trials)) == 1  # which was the paused one's


def wait_for_trial(settings: Recipe, process: int) -> int:
    """The number of the trial that a process is running."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for trial in trials_of(settings):
            if trial.state.name == "RUNNING" and trial.user_attrs.get("worker") == name_of(process):
                return trial.number
        time.sleep(0.05)
    raise AssertionError("no trial was begun")


def test_a_worker_killed_before_its_first_heartbeat_is_found_dead_too(on_server):
    settings = load("demo", on_server)
    with open_search(settings, "plain", seed=0) as left, pytest.warns(UserWarning, match="Heart"):
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
    settings = load("demo", on_server)

    def objective(trial: optuna.Trial) -> float:
        with psycopg.connect(server.url(), autocommit=True) as connection:  # as if it had
            connection.execute("alter user me password 'another'")
        end_connections(server, "another")
        return trial.suggest_float("x", 0, 1)

    try:
        with (
            pytest.raises(UserError, match=r"^postgresql\S+\*\*\*@.*password.*;"),
            open_search(settings, "down", seed=0) as opened,
        ):
            opened.run(objective, total=2, starts=[], label="down")
    finally:
        with psycopg.connect(server.url("another"), autocommit=True) as connection:
            connection.execute(f"alter user me password '{PASSWORD}'")


def test_a_connection_that_is_cut_costs_a_trial_and_not_the_worker(server, on_server):
    settings, cut = load("demo", on_server), []

    def objective(trial: optuna.Trial) -> float:
        trial.suggest_float("x", 0, 1)
        if not cut:
            cut.append(trial.number)
            end_connections(server)
            opened.study.get_trials()  # inside a trial or out of it
        return 1.0

    with open_search(settings, "cut", seed=0) as opened:
        opened.run(objective, total=3, starts=[], label="cut")
        assert len(ended(opened.study.trials)) == 3


def test_a_second_worker_on_sqlite_is_refused_and_a_killed_one_is_not_in_the_way(
    overrides, tiny_folds
):
    settings = load("demo", overrides)
    first = fork(settings, 1, 60)
    _wait_for_lock(settings)
    left = run_script("tune_loss", "--recipe", "demo", "--set", *overrides)
    assert left.code == 1 and len(left.stderr.splitlines()) == 1
    assert f"{socket.gethostname()}:{first} is searching" in left.stderr
    assert "--storage postgresql://" in left.stderr
    os.kill(first, signal.SIGKILL)
    os.waitpid(first, 0)
    assert run_script("tune_loss", "--recipe", "demo", "--set", *overrides).code == 0


def _wait_for_lock(settings: Recipe) -> None:
    lock, deadline = settings.run_folder / "optuna.db.lock", time.monotonic() + 30
    while not (lock.is_file() and lock.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("content", [b"", b"no database at all, but long enough to be one" * 99])
def test_a_damaged_sqlite_file_is_one_line(tiny, content):
    with open_search(tiny, "damaged", seed=0) as opened:
        opened.run(lambda t: t.suggest_float("x", 0, 1), total=2, starts=[], label="damaged")
    file = tiny.run_folder / "optuna.db"
    whole = file.read_bytes()
    file.write_bytes(content or whole[:4096] + os.urandom(len(whole) - 4096))
    with (
        pytest.raises(UserError, match="move it away"),
        open_search(tiny, "damaged", seed=0) as opened,
    ):
        opened.run(lambda t: t.suggest_float("x", 0, 1), total=4, starts=[], label="damaged")


def die_at_write(number: int) -> None:
    """Let this process end, as if by SIGKILL, before the n-th time that it writes to a database."""
    left = [number]

    @sqlalchemy.event.listens_for(sqlalchemy.Engine, "before_cursor_execute")
    def count(connection, cursor, statement, *_) -> None:
        left[0] -= statement.startswith(("INSERT", "UPDATE", "DELETE"))
        if not left[0]:
            os._exit(9)


def search_in_a_child(settings: Recipe, sampler: type, die_at: int | None) -> int:
    """Fourteen trials with two starts in a forked process; returns its exit code."""

    def objective(trial: optuna.Trial) -> float:
        x, y = trial.suggest_float("x", 0.01, 1, log=True), trial.suggest_int("y", 0, 5)
        trial.report(x + y, 1)
        if trial.should_prune() and y > 4:
            raise optuna.TrialPruned
        return (x - 0.3) ** 2 + y

    process = os.fork()
    if process:
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    try:
        if die_at:
            die_at_write(die_at)
        starts = [{"x": 0.5, "y": 2}, {"x": 0.2, "y": 3}]
        with open_search(settings, "dying", seed=0, sampler=sampler) as search:
            search.run(objective, total=14, starts=starts, label="dying")
        os._exit(0)
    finally:
        os._exit(1)


def ended_in(settings: Recipe) -> list:
    trials = trials_of(settings)
    assert all(t.state.is_finished() for t in trials)
    return [(t.params, t.value, t.state, t.intermediate_values) for t in ended(trials)]


def search_with_and_without_kills(settings: Recipe, sampler: type) -> None:
    """Exits with 0 if a search that dies at its first write, at its second … ends the same.

    Runs in a process of its own: one that has used torch's threads must not fork.
    """

    def at(folder: str) -> Recipe:
        machine = settings.machine.model_copy(update={"runs": settings.machine.runs / folder})
        return settings.model_copy(update={"machine": machine})

    assert search_in_a_child(at("whole"), sampler, None) == 0
    codes = []
    while not codes or codes[-1]:
        codes.append(search_in_a_child(at("killed"), sampler, len(codes) + 1))
    assert set(codes) == {0, 9} and len(codes) > 20
    whole = ended_in(at("whole"))
    assert sum(t[2].name == "COMPLETE" for t in whole) > 10  # both start with ten random ones
    assert len(whole) == 14 and ended_in(at("killed")) == whole


@pytest.mark.parametrize("sampler", [optuna.samplers.TPESampler, optuna.samplers.GPSampler])
def test_a_search_that_is_killed_at_each_of_its_writes_is_the_same_search(tiny, sampler):
    assert run_script("tune_loss", "--help").code == 0  # a fork server has Optuna imported now
    context = multiprocessing.get_context("forkserver")
    process = context.Process(target=search_with_and_without_kills, args=(tiny, sampler))
    process.start()
    process.join(300)
    process.kill()
    assert process.exitcode == 0
