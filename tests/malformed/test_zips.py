"""Submissions, right and broken."""

import zipfile

import numpy as np
import pytest
from broken_files import (
    broken_pngs,
    encoded,
    flipped,
    good_pngs,
    png,
    shape_mask,
    write,
    zipped,
)
from judge import OK, run_and_judge, table

from canet.core.console import UserError
from canet.core.images import encode_skeleton
from canet.submission import read
from canet.submission.read import read_submission

RIGHT = encode_skeleton(shape_mask())


def doubled(content: bytes) -> bytes:
    with pytest.warns(UserWarning, match="Duplicate"):
        return zipped([("x.png", content), ("x.png", content)])


def encrypted() -> bytes:
    content = bytearray(zipped([("x.png", RIGHT)]))
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(signature) + offset] |= 1
    return bytes(content)


def packed_unknown() -> bytes:
    content = bytearray(zipped([("x.png", RIGHT)]))
    for signature, offset in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
        content[content.index(signature) + offset] = 99
    return bytes(content)


STORED = zipped([("x.png", RIGHT)], zipfile.ZIP_STORED)
DEFLATED = zipped([("x.png", bytes(5000) + RIGHT)])
BOMB = zipped([("x.png", bytes(100_000_000))])
ZIPS = {
    "right": (lambda: STORED, OK),
    "with a readme": (lambda: zipped([("x.png", RIGHT), ("readme.txt", b"hello")]), OK),
    "in 0 and 1": (lambda: zipped([("x.png", png(shape_mask()))]), OK),
    "an icon": (lambda: zipped([("x.png", good_pngs()["RGBA, an icon"])]), OK),
    "empty": (lambda: b"", "not a readable zip"),
    "text": (lambda: b"no zip", "not a readable zip"),
    "a PNG": (lambda: RIGHT, "not a readable zip"),
    "no members": (lambda: zipped([]), "holds no PNG"),
    "no PNG": (lambda: zipped([("x.txt", b"")]), "holds no PNG"),
    "half": (lambda: STORED[: len(STORED) // 2], "not a readable zip"),
    "no end": (lambda: STORED[:-10], "not a readable zip"),
    "a bit of a member": (lambda: flipped(STORED, 60), "not a readable zip"),
    "a bit of a packed member": (lambda: flipped(DEFLATED, 45), "not a readable zip"),
    "a bit of the directory": (
        lambda: flipped(STORED, STORED.rindex(b"PK\1\2") + 1),
        "readable zip",
    ),
    "in a folder": (lambda: zipped([("made/x.png", RIGHT)]), "made/x.png lies in a folder"),
    "upwards": (lambda: zipped([("../x.png", RIGHT)]), "../x.png lies in a folder"),
    "absolute": (lambda: zipped([("/tmp/x.png", RIGHT)]), "/tmp/x.png lies in a folder"),
    "a line feed": (lambda: zipped([("a\nb/x.png", RIGHT)]), r"a\nb/x.png lies in a folder"),
    "doubled": (lambda: doubled(RIGHT), "x.png is there twice"),
    "encrypted": (encrypted, "not a readable zip"),
    "packed in unknown ways": (packed_unknown, "not a readable zip"),
    "a bomb": (lambda: BOMB, "would unpack to 100,000,000 bytes"),
    "another name": (lambda: zipped([("y.png", RIGHT)]), "predictions missing: 1 (x.png)"),
    "one more": (lambda: zipped([("x.png", RIGHT), ("y.png", RIGHT)]), "label: 1 (y.png)"),
    "another size": (lambda: zipped([("x.png", png(np.eye(8)))]), "x.png: prediction is (8, 8)"),
    "a member of text": (lambda: zipped([("x.png", b"hello")]), "x.png: is not a PNG"),
    "an empty member": (lambda: zipped([("x.png", b"")]), "x.png: is empty"),
    "a JPEG": (lambda: zipped([("x.png", encoded(".jpg"))]), "x.png: is not a PNG"),
    "a member cut off": (lambda: zipped([("x.png", RIGHT[:-9])]), "x.png: damaged PNG"),
    "a header's bomb": (
        lambda: zipped([("x.png", broken_pngs()["bomb in the header"][0])]),
        "x.png: is 20000×20000",
    ),
}


@table(ZIPS)
def test_a_submission_is_scored_or_refused(case, tmp_path):
    make, expected = case
    path = write(tmp_path / "mine.zip", make())
    write(tmp_path / "labels" / "x.png", RIGHT)
    words = (path, tmp_path / "labels", "--csv", tmp_path / "each.csv")
    named = "" if expected and ("prediction" in expected or "label" in expected) else "mine.zip"
    done = run_and_judge(tmp_path, expected, named, "score", *words)
    assert expected is not OK or " 1.0000 " in done.stdout


def test_a_million_large_images_are_not_all_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(read, "MOST_PIXELS_READ", 3 * 40 * 56 - 1)
    for name in "abc":
        write(tmp_path / f"{name}.png", RIGHT)
    with pytest.raises(UserError, match="pixels in all; score parts of it"):
        read_submission(tmp_path)
