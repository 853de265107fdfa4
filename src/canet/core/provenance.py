"""Where results come from: code, commit, package versions, and whether they are current."""

import ast
import platform
import subprocess
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import MappingProxyType

from canet.core.console import REPOSITORY
from canet.core.files import digest_of, digest_of_files, read_json, sha256_of, write_json

PACKAGE = Path(__file__).resolve().parents[1]
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

    def recorded(self, output: Path) -> str:
        """The digest of an output, as it is recorded; empty where none is."""
        kept = read_json(self.path, outputs=dict)
        return str(kept["outputs"].get(_key(output), "")) if kept else ""

    def begin(self) -> None:
        """Record that the outputs are being written: they are not current, but known."""
        write_json(
            self.path, {"digest": "", "outputs": {_key(p): "unfinished" for p in self.outputs}}
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


def code_digest(*modules: str, core: bool = True) -> str:
    """A digest of modules and of all of this package that they import, directly or not.

    Results that are kept have it in their stamp, so that they are made again when code that they
    depend on has changed.

    Args:
        modules: such as `canet.data.input_maps`.
        core: False leaves `canet.core` out, for what takes hours: nothing is computed there but
            images read, and a key more in recipes or another message changes no training.
    """
    files = code_files(*modules)
    return digest_of_files(p for p in files if core or p.parent != PACKAGE / "core")


@cache
def code_files(*modules: str) -> tuple[Path, ...]:
    """The files that `code_digest` is of, found in the import statements."""
    found: dict[str, Path] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        path = _file_of(name)
        if name in found or path is None:
            continue
        found[name] = path
        waiting.append(name.rpartition(".")[0])  # importing a module runs its package, too
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.ImportFrom):
                waiting += [str(node.module), *(f"{node.module}.{a.name}" for a in node.names)]
            elif isinstance(node, ast.Import):
                waiting += [a.name for a in node.names]
    return tuple(found[name] for name in sorted(found))


def _file_of(module: str) -> Path | None:
    """The file of a module of this package; None of another's, or where it is no module."""
    if module.partition(".")[0] != PACKAGE.name:
        return None
    path = PACKAGE.parent.joinpath(*module.split("."))
    return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file()), None)


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
