import io

import numpy as np
import pytest
from PIL import Image

from canet.app import shapes
from canet.core.console import UserError
from canet.geometry.metrics import component_count


@pytest.mark.parametrize("name", shapes.EXAMPLES)
def test_examples_are_shapes_in_one_piece(name):
    mask = shapes.to_mask(shapes.example(name))
    assert mask.shape == (256, 256)
    assert 0.05 < mask.mean() < 0.6 and component_count(mask) == 1
    assert (mask[0].any(), mask[:, 0].any()) == (False, False)


def test_a_picture_comes_back_as_the_mask_that_it_was_made_of():
    mask = np.random.default_rng(0).random((30, 40)) < 0.5
    assert np.array_equal(shapes.to_mask(shapes.to_picture(mask)), mask)


@pytest.mark.parametrize(
    "picture", ["", "data:image/png;base64,", "data:image/png;base64,AAAA", "é"]
)
def test_what_is_no_picture_is_said_so(picture):
    with pytest.raises(UserError, match=r"^the drawing "):
        shapes.to_mask(picture)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def test_a_file_is_read_as_by_the_command_line():
    grey = np.zeros((20, 30), np.uint8)
    grey[5:15, 5:25] = 200
    grey[9, 9] = 100
    mask, said = shapes.read_mask("a.PNG", encoded(Image.fromarray(grey), "PNG"))
    assert np.array_equal(mask, grey > 127)
    assert said == ["a.PNG: 3 grey levels: cut at 127.5"]


def test_a_cut_out_in_colour_is_taken_by_its_opacity():
    cut_out = np.zeros((20, 30, 4), np.uint8)
    cut_out[5:15, 5:25] = (0, 0, 90, 255)
    cut_out[9, 9] = 255  # a highlight
    mask, said = shapes.read_mask("a.png", encoded(Image.fromarray(cut_out), "PNG"))
    assert np.array_equal(mask, cut_out[..., 3] > 0)
    assert said == ["a.png: taken by its opacity"]


def test_the_first_of_several_pages_is_taken_and_said_so():
    pages = [Image.fromarray(np.full((8, 8), value, np.uint8)) for value in (255, 0)]
    content = encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    mask, said = shapes.read_mask("a.tif", content)
    assert mask.all() and said[-1] == "a.tif: the first of several images"


def test_a_mask_that_is_too_large_for_the_page_is_sent_to_the_command_line():
    content = io.BytesIO()
    np.save(content, np.zeros((2049, 2048), bool))
    with pytest.raises(UserError, match=r"a\.npy: is 2048×2049; .*python src/skeletonize\.py more"):
        shapes.read_mask("a.npy", content.getvalue())


@pytest.mark.parametrize(
    "name", ["a.txt", "a", "a.png", "a\nb.png", "a.\0", "../../a.tif", "a" * 9999 + ".npy"]
)
@pytest.mark.parametrize("content", [b"", b"hello"])
def test_a_file_that_is_no_image_is_said_so_in_one_line(name, content):
    with pytest.raises(UserError) as error:
        shapes.read_mask(name, content)
    assert str(error.value).isprintable() and 0 < len(str(error.value)) < 500


def stack(*shape: int) -> bytes:
    content = io.BytesIO()
    np.save(content, np.zeros(shape, bool))
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (stack(0, 5, 5), "a.npy: has no image"),
        (stack(20, 9000), "a.npy: is 9000×20; "),
        (bytes(shapes.MOST_BYTES + 1), "a.npy: is larger than 64 MB; "),
    ],
)
def test_arrays_of_no_image_or_of_too_large_a_one_are_said_so(content, words):
    with pytest.raises(UserError) as error:
        shapes.read_mask("a.npy", content)
    assert str(error.value).startswith(words)


def test_memory_that_is_lacking_is_said_so(monkeypatch):
    def lacking(*_):
        raise MemoryError

    monkeypatch.setattr(shapes, "read_pages", lacking)
    with pytest.raises(UserError, match=r"^a\.png: cannot be read: out of memory$"):
        shapes.read_mask("a.png", b"")
