"""What is promised of a script that is given malformed files, and how to hold it to that."""

from pathlib import Path

import pytest
from scripts import Finished, run_script

OK = None  # expected in place of a part of the message


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """What lies in a folder, with sizes and times.

    Lock files say nothing, and a run's recipe is what was asked for, whatever becomes of it.
    """
    return {
        str(p.relative_to(folder)): (p.lstat().st_size, p.lstat().st_mtime_ns)
        for p in folder.rglob("*")
        if p.suffix != ".lock" and p.name != "recipe.yaml" and not p.is_dir()
    }


def run_and_judge(
    folder: Path, expected: str | None, named: str, script: str, *words: object
) -> Finished:
    """Run a script whose outputs belong into `folder`, and hold it to what is promised.

    Args:
        folder: in which nothing may change where the script fails.
        expected: part of the message, or OK.
        named: what the message has to name.
        script: its name.
        words: of its command line.
    """
    before = listing(folder)
    done = run_script(script, *words)
    assert "Traceback" not in done.stderr + done.stdout, done.stderr
    if expected is OK:
        assert done.code == 0, done.stderr
        return done
    assert done.code == 1, done
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), lines
    assert expected in lines[0] and named in lines[0] and len(lines[0]) < 1500, lines[0]
    assert listing(folder) == before
    return done


def table(cases: dict) -> pytest.MarkDecorator:
    """One test a case: its value is what the test gets."""
    return pytest.mark.parametrize("case", cases.values(), ids=cases.keys())
