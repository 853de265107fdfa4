"""Fixtures that many tests share; nothing is written into the repository."""

import signal
from pathlib import Path

import pytest
import torch
from tiny import (
    copy_folder,
    tiny_overrides,
    tiny_recipe,
    write_data_set,
    write_tiny_folds,
)

from canet.core.recipe import Recipe
from canet.training.fold import train_fold

# Networks this small gain nothing from several threads, and where cores are shared with other
# processes, those wait for each other: a step then takes up to twenty times as long.
torch.set_num_threads(1)
# A shell ignores interruptions in what it runs in the background, and a test that interrupts itself
# would go on for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser) -> None:
    parser.addoption("--slow", action="store_true", help="the slow tests, too")
    parser.addoption("--gpu", action="store_true", help="those on a GPU, and no others")


def pytest_configure(config) -> None:
    if config.getoption("--gpu") and not torch.cuda.is_available():
        raise pytest.UsageError("no GPU here; bash run.sh test --gpu makes a stand-in for one")


def pytest_collection_modifyitems(config, items) -> None:
    """Tests in tests/slow/ are slow, those in tests/gpu/ want a GPU."""
    wanted = {"gpu"} if config.getoption("--gpu") else {"fast"}
    if config.getoption("--slow"):
        wanted.add("slow")

    def kind_of(item) -> str:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        return folder if folder in ("slow", "gpu") else "fast"

    left_out = [item for item in items if kind_of(item) not in wanted]
    config.hook.pytest_deselected(items=left_out)
    kept = [item for item in items if kind_of(item) in wanted]
    lasting = ("test_use.py",)  # of those on a GPU
    items[:] = sorted(kept, key=lambda i: (kind_of(i) == "fast", i.path.name not in lasting))


@pytest.fixture(scope="session")
def data_root(tmp_path_factory) -> Path:
    """The starting kit's layout with 15 labelled and 3 test shapes of 64×64 pixels."""
    return write_data_set(tmp_path_factory.mktemp("data") / "tiny")


@pytest.fixture
def overrides(data_root, tmp_path) -> list[str]:
    """key=value overrides that make any recipe tiny and keep its files in `tmp_path`."""
    return tiny_overrides(data_root, tmp_path)


@pytest.fixture
def tiny(data_root, tmp_path) -> Recipe:
    """The tiny recipe: a training takes seconds."""
    return tiny_recipe(data_root, tmp_path)


@pytest.fixture
def tiny_folds(tiny):
    """The tiny recipe's folds, written."""
    return write_tiny_folds(tiny)


@pytest.fixture(scope="session")
def trained_once(data_root, tmp_path_factory) -> Path:
    """Folds, cache and runs of the tiny recipe with fold 0 trained."""
    folder = tmp_path_factory.mktemp("trained")
    recipe = tiny_recipe(data_root, folder)
    write_tiny_folds(recipe)
    train_fold(recipe, 0)
    return folder


@pytest.fixture
def trained(tiny, trained_once, tmp_path) -> Recipe:
    """The tiny recipe with folds written and fold 0 trained: a copy, to use or to break."""
    copy_folder(trained_once, tmp_path)
    return tiny
