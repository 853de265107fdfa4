import numpy as np
import pytest
import torch

from canet.core.recipe import Augment, Input
from canet.core.recipe_files import load
from canet.data import demo
from canet.data.input_maps import input_map
from canet.data.training_set import Samples
from canet.geometry.candidates import CANDIDATES, ShapeGeometry
from canet.training.augment import SkeletonDataset
from canet.training.fold import train_fold
from canet.training.relabel import Relabeller, draw_affine, drawn_anew, own_candidates

INPUT = Input()


@pytest.fixture(scope="module")
def samples() -> Samples:
    examples = [demo.example(5, i) for i in range(4)]
    shapes = np.stack([shape for _, shape, _ in examples])
    maps = np.stack([input_map(shape, INPUT) for shape in shapes])
    skeletons = [ShapeGeometry(s).drawing(CANDIDATES[k]) for k, s in enumerate(shapes)]
    skeletons[3] = np.eye(256, dtype=bool)  # no candidate
    names = [name for name, *_ in examples]
    return Samples(names, maps, np.stack(skeletons).astype(np.uint8), shapes)


def test_labels_tell_their_candidate(samples):
    found = own_candidates(samples.shapes, samples.skeletons)
    drawings = [ShapeGeometry(s).drawing(CANDIDATES[k]) for s, k in zip(samples.shapes, found)]
    assert found[3] == -1
    assert all(np.array_equal(d, s) for d, s in zip(drawings[:3], samples.skeletons[:3] > 0))


def test_moves_keep_the_shape_whole(samples):
    rng, settings = np.random.default_rng(0), Augment(scale=1.5)
    areas = []
    for _ in range(20):
        affine = draw_affine(samples.shapes[0], settings, rng)
        new = drawn_anew(samples.shapes[0], affine)
        assert not (new[0].any() or new[-1].any() or new[:, 0].any() or new[:, -1].any())
        expected = abs(np.linalg.det(affine[:, :2])) * (samples.shapes[0] > 127).sum()
        assert abs((new > 127).sum() / expected - 1) < 0.03
        areas.append((new > 127).sum())
    assert np.ptp(areas) > 0.1 * np.mean(areas)


def test_whole_pixels_and_quarter_turns_are_exact():
    shape = np.zeros((256, 256), np.uint8)
    shape[40:90, 60:70] = 255
    shifted = drawn_anew(shape, np.array([[1, 0, 5.0], [0, 1, -7.0]]))
    # the four corners of a rectangle are rounded, by a sixteenth of a pixel each
    assert np.array_equal(shifted > 127, np.roll(shape, (-7, 5), (0, 1)) > 0)
    assert ((shifted > 0) & (shifted < 255)).sum() <= 4
    turned = drawn_anew(shape, np.array([[0, 1, 0.0], [-1, 0, 256.0]]))
    assert np.array_equal(turned > 127, np.rot90(shape) > 0)


def test_inputs_and_labels_are_those_of_the_new_drawing(samples):
    draw = Relabeller(samples, Augment(relabel=1, scale=1.2), Input(kind="shape"))
    image, label = draw(1, seed=3)
    again = draw(1, seed=3)
    assert np.array_equal(image, again[0]) and np.array_equal(label, again[1])
    assert not np.array_equal(draw(1, seed=4)[1], label)
    new = drawn_anew(samples.shapes[1], draw.affine(1, seed=3))
    assert np.array_equal(image, input_map(new, Input(kind="shape")))
    assert label.dtype == np.uint8  # the image's own candidate is the second
    assert np.array_equal(label, ShapeGeometry(new).drawing(CANDIDATES[1]))
    assert draw(3, seed=3) is None  # whose label is no candidate


def test_a_line_that_would_vanish_stays_as_it_is():
    shapes = np.zeros((1, 256, 256), np.uint8)
    shapes[0, 128, 20:28] = 129  # a faint line: between pixels it is below one half
    maps = np.stack([input_map(shapes[0], INPUT)])
    line = Samples(["line.png"], maps, (shapes > 0).astype(np.uint8), shapes)
    draw = Relabeller(line, Augment(relabel=1, scale=4), INPUT)
    drawn = [draw(0, seed) for seed in range(20)]
    assert 0 < sum(found is None for found in drawn) < 20
    assert all(found[1].any() and found[0].any() for found in drawn if found is not None)


def test_a_share_is_drawn_anew(samples):
    settings = Augment(relabel=0.5, flips_and_turns=False, shift_px=0, crop_px=64)
    draw = Relabeller(samples, settings, INPUT)
    drawn = [draw(0, seed) is not None for seed in range(60)]
    assert 15 < sum(drawn) < 45
    dataset = SkeletonDataset(samples.maps, samples.skeletons, settings, relabel=draw)
    x, y = dataset[0, 0]
    assert x.shape == y.shape == (1, 64, 64) and torch.equal(x, dataset[0, 0][0])


def test_windows_of_new_drawings_are_known_beforehand(samples):
    settings = Augment(relabel=1, flips_and_turns=False, shift_px=0)
    draw = Relabeller(samples, settings, INPUT)
    images = SkeletonDataset(
        samples.maps, samples.skeletons, settings, relabel=draw, window="shape"
    )
    told = np.concatenate([images.sizes(epoch) for epoch in range(4)])
    found = [images[epoch, i][0].shape[1:] for epoch in range(4) for i in range(4)]
    assert np.mean(told == np.array(found)) > 0.85 and np.abs(told - found).max() <= 32
    assert not np.array_equal(images.sizes(0), images.sizes(1))
    assert np.array_equal(images.sizes(0), images.sizes(0))


def test_a_network_learns_from_it(tiny, tiny_folds, overrides):
    drawn = load("demo", [*overrides, "augment.relabel=0.5", "train.epochs=1"])
    assert (train_fold(drawn, 0) / "model" / "model.safetensors").is_file()
