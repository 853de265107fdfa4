"""Files that are written whole, and what killed processes left."""

import subprocess
import sys

from canet.core.files import HOST, replace_folder


def test_what_a_killed_process_left_of_a_replaced_folder_goes(tmp_path):
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], text=True, stdout=-1
    )
    left = tmp_path / f".out.{HOST}.{int(gone.stdout)}.abc123.tmp"
    for folder in (left, tmp_path / "out", tmp_path / "new"):
        folder.mkdir()
        (folder / "a").write_text(folder.name)
    replace_folder(tmp_path / "new", tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out/a").read_text() == "new"
