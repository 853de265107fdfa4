"""A folder of one shape, to predict."""

from pathlib import Path

import pytest
from broken_files import good_pngs, write


@pytest.fixture
def shapes(tmp_path) -> Path:
    """A folder with one shape."""
    write(tmp_path / "shapes" / "x.png", good_pngs()["grey"])
    return tmp_path / "shapes"
