"""What a network is asked beside the skeleton: ends and junctions, outline, the way to it."""

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_erosion, distance_transform_edt, label
from torch.nn.functional import binary_cross_entropy_with_logits

from canet.files import UserError
from canet.fitting import Fitting, build_model, start
from canet.losses import SkeletonLoss
from canet.recipe import Loss, load
from canet.samples import Samples
from canet.tasks import (
    REACH_PX,
    contour_of,
    offset_of,
    points_of,
    task_channels,
    task_loss,
    without_corners,
)


def as_tensor(array) -> torch.Tensor:
    return torch.as_tensor(np.asarray(array), dtype=torch.float32)[None, None]


def test_ends_and_junctions_of_a_letter():
    skeleton = np.zeros((32, 40))
    skeleton[8, 5:30] = 1  # the bar of a T
    skeleton[9:25, 15] = 1  # and its stem
    ends, junctions = points_of(as_tensor(skeleton))[0].numpy()
    for row, column in [(8, 5), (8, 29), (24, 15)]:
        assert ends[row - 1 : row + 2, column - 1 : column + 2].all()
    assert ends.sum() == 3 * 9
    assert junctions[8, 15] and not junctions[8, 25] and not junctions[20, 15]


def test_bends_and_steps_are_no_junctions():
    """Every pixel of a 4-connected step has two neighbours or more, and no line leads away."""
    skeleton = np.zeros((32, 32))
    skeleton[4:20, 6] = skeleton[19, 6:14] = 1  # an L
    for k in range(8):
        skeleton[19 - k, 13 + k : 15 + k] = 1  # and stairs up from it
    ends, junctions = points_of(as_tensor(skeleton))[0].numpy()
    assert not junctions.any() and ends.sum() == 2 * 9
    thin = without_corners(as_tensor(skeleton))[0, 0].numpy()
    assert connected_pieces(thin) == 1 and thin.sum() < skeleton.sum()


def test_a_line_that_leaves_the_window_does_not_end_there():
    skeleton = np.zeros((24, 24))
    skeleton[10, :15] = 1
    ends, _ = points_of(as_tensor(skeleton))[0].numpy()
    assert ends.sum() == 9 and ends[10, 14]


def connected_pieces(skeleton) -> int:
    return label(skeleton, np.ones((3, 3)))[1]


def test_a_pixel_alone_is_an_end():
    skeleton = np.zeros((8, 8))
    skeleton[4, 4] = 1
    assert points_of(as_tensor(skeleton))[0, 0].sum() == 9


def test_contour_is_what_erosion_takes():
    inside = np.zeros((20, 20))
    inside[3:15, 5:16] = 1
    inside[8:11, 8:12] = 0
    eroded = binary_erosion(inside, np.ones((3, 3)))
    assert np.array_equal(contour_of(as_tensor(inside))[0, 0].numpy(), inside - eroded)


def test_offsets_lead_to_the_nearest_skeleton_pixel():
    rng = np.random.default_rng(0)
    skeleton = rng.random((64, 48)) < 0.01
    way, near = (t[0].numpy() for t in offset_of(as_tensor(skeleton)))
    exact = distance_transform_edt(~skeleton)
    inner = np.s_[REACH_PX:-REACH_PX, REACH_PX:-REACH_PX]  # further out a nearer one may be cut off
    assert np.mean((near[0] > 0)[inner] == (exact <= REACH_PX)[inner]) > 0.995
    assert near[0].sum() == near[0][inner].sum()
    found = np.argwhere(near[0] > 0)
    there = found + way[::-1, found[:, 0], found[:, 1]].T  # rows, columns
    assert skeleton[tuple(there.astype(int).T)].all()
    length = np.hypot(*way)[near[0] > 0]
    assert np.mean(np.isclose(length, exact[near[0] > 0])) > 0.98
    assert not way[:, near[0] == 0].any()


def test_offsets_of_an_empty_label_count_nothing():
    way, near = offset_of(torch.zeros(1, 1, 16, 16))
    assert not way.any() and not near.any()
    loss = task_loss(
        torch.ones(1, 2, 16, 16), torch.zeros(1, 1, 16, 16), None, Loss(offset=1), None
    )
    assert loss == 0


@pytest.mark.parametrize("name, channels", [("points", 2), ("contour", 1), ("offset", 2)])
def test_the_right_answer_is_the_best(name, channels):
    settings = Loss(**{name: 0.7})
    assert task_channels(settings) == channels and task_channels(Loss()) == 0
    skeleton, inside = torch.zeros(2, 1, 32, 32), torch.zeros(2, 1, 32, 32)
    skeleton[:, :, 14, 6:26], inside[:, :, 8:20, 2:30] = 1, 1
    if name == "offset":
        right = offset_of(skeleton)[0] / REACH_PX
    else:
        target = points_of(skeleton) if name == "points" else contour_of(inside)
        right = 20 * target - 10

    def loss_of(answers):
        compare = binary_cross_entropy_with_logits
        return task_loss(answers, skeleton, inside, settings, compare).item()

    assert loss_of(right) < 1e-4 < loss_of(right.flip(-2)) and loss_of(-right) > 1e-2


def test_tasks_learn_and_prediction_does_not_see_them(tmp_path):
    overrides = [
        "model.encoder=resblock8",
        "augment.relabel=0",
        "augment.crop_px=32",
        "train.batch=2",
        "train.weight_decay=0",  # which moves every weight
    ]
    tasks = ["loss.points=0.3", "loss.contour=0.1", "loss.offset=0.2"]
    recipe = load("cpu", [*overrides, *tasks])
    maps = np.random.default_rng(0).random((2, 1, 64, 64), np.float32)
    skeletons = np.zeros((2, 64, 64), np.uint8)
    skeletons[:, 32, 8:56] = 1
    device = torch.device("cpu")
    samples = Samples(["a.png", "b.png"], maps, skeletons)
    fitting, state = Fitting(recipe, samples, samples, device), start(recipe, device)
    before = state.model.segmentation_head.weight.detach().clone()
    x, y = next(iter(fitting.loader))
    fitting.learn(state.model.train(), state, x, y)
    assert before.shape[0] == 6
    head = state.model.segmentation_head
    assert all((a != b).any() for a, b in zip(before, head.weight))
    levels = fitting.predict_held_out(state.model.eval())
    with torch.no_grad():
        head.bias[1:] += 3
    assert (fitting.predict_held_out(state.model) == levels).all()


def test_tasks_are_asked_of_the_label_whatever_a_teacher_says(tmp_path):
    overrides = ["model.encoder=resblock8", "augment.relabel=0", "augment.crop_px=32"]
    recipe = load("cpu", [*overrides, "train.batch=2", "loss.points=1", "distill.share=1"])
    skeletons = np.zeros((2, 32, 32), np.uint8)
    skeletons[:, 16, 8:24] = 1
    samples = Samples(["a.png", "b.png"], np.ones((2, 1, 32, 32), np.float32), skeletons)
    device = torch.device("cpu")
    model = start(recipe, device).model.eval()
    teacher = torch.nn.Conv2d(1, 1, 1).requires_grad_(False)
    torch.nn.init.zeros_(teacher.weight)
    losses = {}
    for said in (-20.0, 20.0):  # nothing anywhere, skeleton everywhere
        torch.nn.init.constant_(teacher.bias, said)
        fitting = Fitting(recipe, samples, None, device, teacher=teacher)
        x, y = torch.ones(2, 1, 32, 32), torch.as_tensor(skeletons[:, None]).float()
        skeleton_alone = SkeletonLoss(recipe.loss.model_copy(update={"points": 0.0}))
        outputs = model(x, auxiliary=True)
        alone = skeleton_alone([o.float() for o in outputs], fitting.target(x, y))
        losses[said] = (fitting.loss_of(model, x, y)[0] - alone).item()
    assert losses[-20.0] == pytest.approx(losses[20.0], rel=0.05) and losses[20.0] > 0


def test_a_length_begins_at_nothing_and_maps_at_the_prior():
    small = ["model.encoder=resblock8", "loss.points=1", "loss.offset=1"]
    for name in ("cpu", "side_outputs"):
        bias = build_model(load(name, small)).heads[-1].bias.tolist()
        assert bias[3:] == [0, 0] and all(b == bias[0] < -4 for b in bias[:3])


def test_no_task_no_channel_and_the_same_loss():
    assert build_model(load("cpu", ["model.encoder=resblock8"])).segmentation_head.out_channels == 1
    logits, y = torch.randn(2, 1, 16, 16), (torch.rand(2, 1, 16, 16) > 0.9).float()
    plain = SkeletonLoss(Loss(scale_weights=[1]))([logits], y)
    with_more = SkeletonLoss(Loss(scale_weights=[1]))([logits.repeat(1, 3, 1, 1)], y)
    assert torch.equal(plain, with_more)


def test_contour_needs_to_see_the_shape():
    recipe = load("cpu", ["input.kind=salience", "loss.contour=1", "augment.relabel=0"])
    samples = Samples(["a.png"], np.zeros((1, 1, 64, 64), np.float32), np.zeros((1, 64, 64)))
    with pytest.raises(UserError, match=r"add \+shape"):
        Fitting(recipe, samples, None, torch.device("cpu"))
