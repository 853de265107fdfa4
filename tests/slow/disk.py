"""Stages on a full disk, on a read-only one and without their input. Run by test_disk.py.

Needs to be in a mount namespace of its own, for the small tmpfs.
"""

import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from kills import copy, finish, stages, tree
from scripts import Script

LEFT_KB = (0, 64)  # free space on the full disk


@pytest.fixture(scope="module")
def disk(tmp_path_factory) -> Path:
    """Every stage's results on a small disk."""
    disk = tmp_path_factory.mktemp("disk")
    mount("-t", "tmpfs", "-o", "size=64m", "tmpfs", disk)
    for words in stages(disk / "now").values():
        finish(words)
    copy(disk / "now", disk / "whole")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


@pytest.fixture
def folder(disk) -> Path:
    copy(disk / "whole", disk / "now")
    return disk / "now"


def mount(*words: object) -> None:
    subprocess.run(["mount", *map(str, words)], check=True)


STAGES = list(stages(Path()))


def again(folder: Path, stage: str) -> tuple[str, ...]:
    """The stage's words, so that it does everything once more."""
    script, *words = stages(folder)[stage]
    does_it_anyway = stage in ("baseline", "report")
    return (script, *words) if does_it_anyway else (script, "--force", *words)


def check_one_line(done, *parts: str) -> None:
    assert done.code == 1, (done.stdout, done.stderr)
    said = [line for line in done.stderr.splitlines() if "%|" not in line and line.strip()]
    assert "Traceback" not in done.stderr, done.stderr
    assert sum(line.startswith("error") for line in said) == 1, done.stderr
    assert any(part in done.stderr for part in parts), done.stderr


@pytest.mark.parametrize("left_kb", LEFT_KB)
@pytest.mark.parametrize("stage", STAGES)
def test_a_full_disk_is_one_line_and_nothing_is_lost(folder, stage, left_kb):
    kept = tree(folder)
    kept.pop("data/generated.json")  # goes first: generated data that are not whole are made anew
    databases = [name for name in kept if name.endswith("optuna.db")]
    rows = [rows_of(folder / name) for name in databases]
    for name in databases:  # a new study may have begun in it
        kept.pop(name)
    filler = folder / "filler"
    fill(filler, left_kb)
    done = Script(*again(folder, stage)).wait()
    filler.unlink()
    if done.code:
        check_one_line(done, "No space left", "disk is full", "disk full")
        found = tree(folder)
        assert not [name for name in kept if kept[name] not in found.values()], done
        assert all(a <= rows_of(folder / name) for a, name in zip(rows, databases)), done
    assert not [p for p in folder.rglob("*.tmp")], done


def rows_of(database: Path) -> set[str]:
    """All rows of all tables."""
    with closing(sqlite3.connect(database)) as opened:
        return set(opened.iterdump())


def fill(path: Path, left_kb: int) -> None:
    with open(path, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            file.truncate(max(0, file.tell() - left_kb * 1024))


@pytest.mark.parametrize("stage", STAGES)
def test_a_read_only_folder_is_one_line(folder, stage):
    kept = tree(folder)
    mount("--bind", folder, folder)
    mount("-o", "remount,bind,ro", folder)
    done = Script(*again(folder, stage)).wait()
    subprocess.run(["umount", folder], check=True)
    check_one_line(done, "Read-only", "read-only", "readonly", "not writable")
    assert tree(folder) == kept


@pytest.mark.parametrize("stage", STAGES[1:])
def test_a_vanished_input_is_one_line(folder, stage):
    kept = tree(folder)
    data, away = folder / "data", folder / "away"
    data.rename(away)
    done = Script(*again(folder, stage)).wait()
    away.rename(data)
    check_one_line(done, "data")
    assert tree(folder) == kept
