"""Does this Python have what pyproject.toml asks for? Standard library only; exit code 0 or 1.

Usage: python src/canet/core/requirements_check.py [EXTRA …], train and test by default.
"""

import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[3] / "pyproject.toml"
REQUIREMENT = re.compile(r"([A-Za-z0-9_.-]+)(?:\[[\w,-]+\])?\s*(.*)")  # extras are not asked for
BOUND = re.compile(r"(>=|<|!=)\s*([\d.]+)")
COMPARE = {
    ">=": lambda found, bound: found >= bound,
    "<": lambda found, bound: found < bound,
    "!=": lambda found, bound: found != bound,
}


def numbers(text: str) -> tuple[int, ...]:
    """(2, 11, 0) for `2.11.0+cu130`."""
    return tuple(int(n) for n in re.match(r"[\d.]*\d", text).group().split("."))


def requirements(extras: list[str]) -> list[str]:
    """What the project asks for, with these extras and those that they name."""
    project = tomllib.loads(PROJECT.read_text())["project"]
    asked = [r for extra in extras for r in project["optional-dependencies"][extra]]
    own = re.compile(rf"{project['name']}\[(.*)\]")
    inner = [extra for r in asked if (m := own.fullmatch(r)) for extra in m[1].split(",")]
    rest = [r for r in asked if not own.fullmatch(r)]
    return rest + (requirements(inner) if inner else project["dependencies"])


def problem_with(requirement: str) -> str | None:
    """What is missing for one requirement, None where nothing is."""
    name, bounds = REQUIREMENT.match(requirement).groups()
    try:
        found = version(name)
    except PackageNotFoundError:
        return f"{name} is missing"
    satisfied = all(COMPARE[op](numbers(found), numbers(b)) for op, b in BOUND.findall(bounds))
    return None if satisfied else f"{name} is {found}, wanted {bounds}"


if __name__ == "__main__":
    wanted = requirements(sys.argv[1:] or ["train", "test"])
    problems = [p for r in wanted if (p := problem_with(r))]
    print(*problems, sep="\n", file=sys.stderr)
    sys.exit(1 if problems else 0)
