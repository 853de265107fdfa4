"""Files damaged at random, by Hypothesis: understood or refused by what reads them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from broken_files import chunk, edited, flipped, good_pngs, shape_mask, write, zipped
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny import copy_folder, tiny_recipe

from canet.core.console import REPOSITORY, UserError
from canet.core.files import sha256_of
from canet.core.images import encode_skeleton, read_grey
from canet.core.recipe_files import load
from canet.core.runs import FACTS
from canet.data.folds import read_folds
from canet.data.training_set import TrainingSet
from canet.evaluation.out_of_fold import read_held_out
from canet.geometry.candidates import CANDIDATES
from canet.inference.saved_model import WEIGHTS, TrainedModel, load_model
from canet.postprocess.threshold import read_threshold
from canet.selection import forest
from canet.selection.trees import Trees
from canet.submission.read import read_submission
from canet.training.trainer import build_state

CPU = torch.device("cpu")
EDIT = st.tuples(
    st.sampled_from(["flip", "set", "cut", "delete", "insert", "double"]),
    st.floats(0, 1),
    st.integers(0, 255),
    st.integers(1, 40),
)
FUZZ = settings(
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def mutated(content: bytes, edits: list[tuple[str, float, int, int]]) -> bytes:
    """Content after flips, cuts, insertions and the like at relative places."""
    for kind, place, value, length in edits:
        k = int(place * max(0, len(content) - 1))
        head, tail = content[:k], content[k:]
        if kind == "flip" and content:
            content = flipped(content, k, value % 8)
        elif kind == "set":
            content = head + bytes([value]) + tail[1:]
        elif kind == "cut":
            content = head
        elif kind == "delete":
            content = head + tail[length:]
        elif kind == "insert":
            content = head + bytes([value]) * length + tail
        elif kind == "double":
            content = head + tail[:length] + tail
    return content


def rechunked(content: bytes, edits: list) -> bytes:
    """A PNG that is changed within its chunks and has right checksums: past the first defence."""
    position, out = 8, content[:8]
    while position < len(content):
        length = int.from_bytes(content[position : position + 4])
        name, body = content[position + 4 : position + 8], content[position + 8 :][:length]
        mine = [e for k, e in enumerate(edits) if (position + k) % 3 == 0]
        out += chunk(name, mutated(body, mine))
        position += 12 + length
    return out


@dataclass(frozen=True)
class Reader:
    """What reads one kind of file: `read` gets its path; others beside it stay right."""

    path: Path
    read: Callable[[Path], object]
    change: Callable[[bytes, list], bytes] = mutated

    def judge(self, edits: list) -> str:
        """`read`, or `refused`, after changes; anything else is an error of the test.

        The file is put back.
        """
        content = self.path.read_bytes()
        self.path.write_bytes(self.change(content, edits))
        try:
            self.read(self.path)
        except UserError as error:
            message = str(error)
            assert "\n" not in message and message.isprintable() and len(message) < 1500, message
            assert self.path.name in message or self.path.parent.name in message, message
            return "refused"
        finally:
            self.path.write_bytes(content)
        return "read"


def load_any(model: Path) -> TrainedModel:
    """A model whose weights have the right checksum, whatever they are."""
    facts = model / FACTS
    write(facts, edited(sha256=sha256_of(model / WEIGHTS))(facts.read_bytes(), model))
    return load_model(model, CPU)


def png_readers(folder: Path) -> dict[str, Reader]:
    """Readers of images, with and without checksums to protect them."""
    varied = {"grey": "grey", "alpha": "RGBA, an icon", "palette": "palette, white on clear"}
    varied |= {"interlaced": "interlaced, 16 bits", "animated": "animated"}
    good = good_pngs()
    paths = {k: write(folder / f"{k}.png", good[name]) for k, name in varied.items()}
    plain = {f"PNG, {k}": Reader(p, read_grey) for k, p in paths.items()}
    return plain | {
        f"PNG, {k}, checksums right": Reader(p, read_grey, rechunked) for k, p in paths.items()
    }


def readers(data_root: Path, folder: Path) -> dict[str, Reader]:
    """A reader of each kind, over a trained fold and a forest in a folder."""
    tiny = tiny_recipe(data_root, folder)
    images, fold = TrainingSet(tiny), tiny.run_folder / "fold-0"
    state = build_state(tiny, CPU)
    identity = torch.load(fold / "checkpoint.pt", weights_only=True)["identity"]
    model, geometry, other = fold / "model", folder / "geometry", folder / "other"
    copy_folder(model, other)
    columns = len(forest.load(geometry)[0].columns)
    kept = {"threshold": 0.4, "postprocess": {}, "trained": {}, "study": "s", "images": 5}
    threshold = write(folder / "threshold.json", json.dumps(kept).encode())
    right = encode_skeleton(shape_mask())
    submission = write(folder / "mine.zip", zipped([("x.png", right), ("y.png", right)]))
    text = write(folder / "mine.yaml", (REPOSITORY / "pipelines" / "demo.yaml").read_bytes())

    def load_trees(path: Path) -> Trees:
        return Trees.load(path, classes=len(CANDIDATES), features=columns)

    return png_readers(folder) | {
        "folds": Reader(images.folds_path, lambda p: read_folds(p, images.names, tiny.folds)),
        "recipe": Reader(text, lambda p: load(str(p))),
        "checkpoint": Reader(fold / "checkpoint.pt", lambda p: state.restore(p, identity, CPU)),
        "weights": Reader(model / WEIGHTS, lambda p: load_model(model, CPU)),
        "weights, checksum right": Reader(other / WEIGHTS, lambda p: load_any(other)),
        "facts of a model": Reader(model / FACTS, lambda p: load_model(model, CPU)),
        "threshold": Reader(threshold, read_threshold),
        "held out": Reader(fold / "held_out.npz", read_held_out),
        "forest": Reader(geometry / forest.FOREST, lambda p: forest.load(geometry)),
        "forest, checksum right": Reader(geometry / forest.FOREST, load_trees),
        "facts of a forest": Reader(geometry / forest.CONFIG, lambda p: forest.load(geometry)),
        "zip": Reader(submission, read_submission),
    }


KINDS = [f"PNG, {k}" for k in ("grey", "alpha", "palette", "interlaced", "animated")]
KINDS += [f"{k}, checksums right" for k in KINDS]
KINDS += ["folds", "recipe", "checkpoint", "weights", "weights, checksum right"]
KINDS += ["facts of a model", "threshold", "held out", "forest", "forest, checksum right"]
KINDS += ["facts of a forest", "zip"]
EXAMPLES = 25  # of each kind


@pytest.fixture(scope="module")
def all_readers(data_root, trained_once, forest_once, tmp_path_factory) -> dict[str, Reader]:
    folder = tmp_path_factory.mktemp("readers")
    copy_folder(trained_once, folder)
    copy_folder(forest_once, folder / "geometry")
    return readers(data_root, folder)


@pytest.mark.parametrize("kind", KINDS)
def test_generated_damage_is_understood_or_refused(kind, all_readers, capfd):
    assert all_readers.keys() == set(KINDS)
    reader, outcomes = all_readers[kind], set()

    @settings(FUZZ, max_examples=EXAMPLES)
    @given(st.lists(EDIT, min_size=1, max_size=4))
    def check(edits):
        outcomes.add(reader.judge(edits))

    assert reader.judge([]) == "read"
    check()
    assert "refused" in outcomes
    assert capfd.readouterr().err == ""  # no library complains past us
