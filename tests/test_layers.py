"""How the package is built: which folder may import which, and how functions take arguments."""

import ast
from pathlib import Path

from canet.core.console import REPOSITORY

SOURCE = REPOSITORY / "src"
PACKAGE = SOURCE / "canet"
LAYERS = [
    "geometry",
    "core",
    "data",
    "network",
    "postprocess",
    "inference",
    "evaluation",
    "training",
    "tables",
    "search",
    "selection",
    "submission",
    "skeletons",
    "report",
    "benchmarks",
    "app",
]
MOST_LINES = 80  # of a script
MOST_POSITIONAL = 3


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported_folders(path: Path) -> set[str]:
    """The folders of the package that a file imports from, also within functions."""
    found = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            if node.module == "canet":
                found |= {alias.name for alias in node.names}
            modules = [node.module]
        else:
            modules = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        found |= {m.split(".")[1] for m in modules if m.startswith("canet.")}
    return found


def test_every_folder_has_its_place():
    folders = {p.parent.relative_to(PACKAGE).parts[0] for p in PACKAGE.glob("*/**/*.py")}
    assert folders == set(LAYERS)
    assert [p.name for p in PACKAGE.glob("*.py")] == ["__init__.py"]
    assert all((PACKAGE / name / "__init__.py").is_file() for name in LAYERS)


def test_folders_import_only_those_before_them():
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        place = path.relative_to(PACKAGE)
        may = LAYERS[: LAYERS.index(place.parts[0]) + 1] if len(place.parts) > 1 else []
        wrong += [f"{place} imports {name}" for name in imported_folders(path) - set(may)]
    assert wrong == []


def test_nothing_in_the_package_imports_a_script():
    scripts = {p.stem for p in SOURCE.glob("*.py")}
    for path in PACKAGE.rglob("*.py"):
        nodes = list(ast.walk(parsed(path)))
        names = {a.name for n in nodes if isinstance(n, ast.Import) for a in n.names}
        names |= {n.module for n in nodes if isinstance(n, ast.ImportFrom)}
        assert not names & scripts, path


def test_scripts_are_short():
    lines = {p.name: len(p.read_text().splitlines()) for p in SOURCE.glob("*.py")}
    assert lines and {name: n for name, n in lines.items() if n > MOST_LINES} == {}


def public_functions(path: Path) -> list[tuple[str, ast.FunctionDef]]:
    """Functions and methods of a module without an underscore, and constructors, by name.

    Compiled functions aside: numba calls them by place.
    """
    found = []
    for node in parsed(path).body:
        if isinstance(node, ast.FunctionDef) and "compiled" not in map(
            ast.unparse, node.decorator_list
        ):
            found.append((node.name, node))
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            methods = [n for n in node.body if isinstance(n, ast.FunctionDef)]
            found += [(f"{node.name}.{m.name}", m) for m in methods]
    special = ("__init__", "__call__")
    return [(n, f) for n, f in found if not f.name.startswith("_") or f.name in special]


def positional(function: ast.FunctionDef) -> int:
    """How many arguments may be given without their names, `self` and `cls` not counted."""
    names = [a.arg for a in (*function.args.posonlyargs, *function.args.args)]
    return len(names) - (names[:1] in (["self"], ["cls"]))


def test_what_has_many_arguments_takes_them_by_name():
    many = [
        f"{path.relative_to(SOURCE)}: {name} has {positional(function)}"
        for path in SOURCE.rglob("*.py")
        for name, function in public_functions(path)
        if positional(function) > MOST_POSITIONAL
    ]
    assert many == []
