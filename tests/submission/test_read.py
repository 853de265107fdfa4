"""Reading a submission, and what the challenge would refuse in it."""

import zipfile

import cv2
import numpy as np
import pytest

from canet.core.console import UserError
from canet.core.images import encode_skeleton
from canet.submission.read import find_zip_problems, read_submission

SKELETON = encode_skeleton(np.eye(16, dtype=bool))


@pytest.fixture
def sizes() -> dict[str, tuple[int, int]]:
    return {f"cat-{i}.png": (16, 16) for i in range(3)}


def zip_of(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_what_the_challenge_refuses_is_found(tmp_path, sizes):
    grey = cv2.imencode(".png", np.full((16, 16), 100, np.uint8))[1].tobytes()
    right = zip_of(tmp_path / "right.zip", dict.fromkeys(sizes, SKELETON))
    assert find_zip_problems(right, sizes) == {}
    nested = zip_of(tmp_path / "nested.zip", {"folder/cat-0.png": SKELETON})
    assert "flat zip" in find_zip_problems(nested, sizes)["nested.zip"]
    path = zip_of(tmp_path / "grey.zip", dict.fromkeys(sizes, grey))
    assert "other than 0 and 255" in find_zip_problems(path, sizes)["cat-0.png"]
    del sizes["cat-0.png"]
    assert find_zip_problems(path, sizes)["cat-0.png"] == "cat-0.png belongs to no shape"


def test_missing_misshapen_and_empty_images_are_named(tmp_path, sizes):
    empty = encode_skeleton(np.zeros((16, 16), bool))
    path = zip_of(tmp_path / "s.zip", {"cat-0.png": SKELETON, "cat-1.png": empty})
    assert find_zip_problems(path, sizes | {"cat-0.png": (16, 20)}) == {
        "cat-0.png": "cat-0.png is (16, 16), its shape (20, 16)",
        "cat-1.png": "cat-1.png is empty, which scores 0",
        "cat-2.png": "cat-2.png is missing",
    }


def test_reading_a_folder_or_its_zip_is_the_same(tmp_path, sizes):
    folder = tmp_path / "s"
    folder.mkdir()
    for name in sizes:
        (folder / name).write_bytes(SKELETON)
    (folder / "notes.txt").write_text("not read")
    path = zip_of(tmp_path / "s.zip", dict.fromkeys(sizes, SKELETON) | {"notes.txt": b"not read"})
    from_zip, from_folder = read_submission(path), read_submission(folder)
    assert from_zip.keys() == from_folder.keys() == sizes.keys()
    assert all((from_zip[n] == np.eye(16) * 255).all() for n in sizes)
    assert all((from_zip[n] == from_folder[n]).all() for n in sizes)


def test_what_is_no_submission_is_refused(tmp_path):
    (tmp_path / "bad.zip").write_bytes(b"PK??")
    with pytest.raises(UserError, match="not a readable zip"):
        read_submission(tmp_path / "bad.zip")
    with pytest.raises(UserError, match="no such file"):
        read_submission(tmp_path / "nowhere")
    with pytest.raises(UserError, match="holds no PNG"):
        read_submission(zip_of(tmp_path / "none.zip", {"a.txt": b""}))
