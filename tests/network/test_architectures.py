"""What every architecture that a recipe can name has to do, and what is particular to each."""

import pytest
import torch
from segmentation_models_pytorch.base import SegmentationModel
from torch.utils.flop_counter import FlopCounterMode

from canet.core.console import UserError
from canet.core.input_planes import channels_of
from canet.core.recipe import Loss, Model
from canet.core.recipe_files import available, load
from canet.data import demo
from canet.geometry.metrics import best_threshold
from canet.inference.saved_model import load_model, save_model
from canet.network import ContextAttention, build_network, from_pretrained
from canet.network.blocks import DoubleConv, ResBlock
from canet.network.earlier.nguyen import AttentionGroup
from canet.training.losses import SkeletonLoss
from canet.training.trainer import build_state

CPU = torch.device("cpu")
SMALL = {
    "canet": Model(encoder="resblock4", blocks=1),
    "canet, double": Model(encoder="resblock4", blocks=1, block="double"),
    "unet": Model(architecture="unet", encoder="resblock4"),
    "panichev_unet": Model(architecture="panichev_unet", encoder="resblock4"),
    "nguyen_unet": Model(architecture="nguyen_unet", encoder="resblock4"),
    "side_outputs": Model(architecture="side_outputs", encoder="resblock4", blocks=1),
    "pix2pix": Model(architecture="pix2pix", encoder="resblock4"),
}
# the sizes of the outputs, in parts of the input's
SCALES = {
    "panichev_unet": [1],
    "side_outputs": [1] * 6,
    "pix2pix": [1],
}


def built(name: str, in_channels: int = 1):
    torch.manual_seed(0)
    return build_network(SMALL[name], in_channels)


def lines(count: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """A generated shape and its skeleton, 64×64, `count` times."""
    _, shape, skeleton = demo.example(3, 1)
    x, y = (torch.from_numpy((a > 0).astype("float32"))[None, None] for a in (shape, skeleton))
    x, y = (torch.nn.functional.adaptive_max_pool2d(t, 64) for t in (x, y))
    return x.repeat(count, 1, 1, 1), y.repeat(count, 1, 1, 1)


def test_every_architecture_is_tested():
    choices = Model.model_fields["architecture"].annotation.__args__
    assert {m.architecture for m in SMALL.values()} == set(choices)


@pytest.mark.parametrize("name", SMALL)
class TestEvery:
    def test_is_a_model_of_smp_with_logits_fine_to_coarse(self, name):
        model = built(name, 2).eval()
        assert isinstance(model, SegmentationModel)
        x = torch.randn(1, 2, 64, 96)
        outputs = model(x, auxiliary=True)
        scales = SCALES.get(name, [1, 2, 4, 8])
        assert [o.shape for o in outputs] == [(1, 1, 64 // s, 96 // s) for s in scales]
        assert torch.equal(model(x), outputs[0])

    def test_a_wrong_size_names_the_size_to_pad_to(self, name):
        model = built(name).eval()
        stride = model.encoder.output_stride
        with pytest.raises(RuntimeError, match=rf"divisible by {stride}.*\({64 + stride}, 64\)"):
            model(torch.randn(1, 1, 65, 64))

    def test_begins_near_the_share_of_skeleton_pixels(self, name):
        x, _ = lines()
        p = built(name).eval()(x).sigmoid()
        assert 0.001 < p.mean() < 0.1

    def test_every_counted_parameter_gets_a_gradient(self, name):
        model = built(name).train()
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):  # residual branches begin at zero
                torch.nn.init.normal_(module.weight)
        x, y = lines(2)
        weights = [1.0] * len(SCALES.get(name, [1] * 4))
        SkeletonLoss(Loss(scale_weights=weights))(model(x, auxiliary=True), y).backward()
        without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
        # attention to keys is the same for all keys' biases; ReLUs of a narrow gate may be closed
        without = [n for n in without if "channel_gate" not in n and ".fc" not in n]
        assert without == []

    def test_saved_and_loaded_it_predicts_the_same(self, name, tmp_path, tiny):
        settings = tiny.model_copy(update={"model": SMALL[name]})
        model = build_network(SMALL[name], channels_of(tiny.input.kind)).eval()
        facts = {"recipe": settings.stored(), "fold": 0, "finished_at": "", "commit": ""}
        save_model(model, tmp_path / "model", facts)
        x, _ = lines()
        expected = model(x)
        loaded = load_model(tmp_path / "model", CPU).network  # in another memory format
        assert torch.allclose(loaded(x), expected, atol=1e-4)
        again = from_pretrained(tmp_path / "model").eval()
        assert type(again) is type(model) and torch.equal(again(x), expected)


@pytest.mark.parametrize("name", SMALL)
def test_thirty_steps_lower_the_loss_and_find_the_skeleton(name):
    model, (x, y) = built(name).train(), lines(2)
    loss_of = SkeletonLoss(Loss(scale_weights=[1.0]))
    optimizer = torch.optim.AdamW(model.parameters(), 0.01)
    losses = []
    for _ in range(30):
        loss = loss_of(model(x, auxiliary=True), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
    levels = (model(x)[:, 0].sigmoid() * 255).byte().detach().numpy()
    assert (
        best_threshold(levels, y[:, 0].numpy() > 0)[1] > 0.2
    )  # the label shifted by a pixel has less


@pytest.mark.parametrize(
    ("settings", "millions", "gflop"),
    [
        (Model(architecture="unet"), 31.0, 96.2),
        (Model(attention_stages=[]), 95.3, 275.5),
        (Model(attention_stages=[1, 2, 3, 4, 5]), 95.9, 571.5),
        (Model(architecture="panichev_unet", encoder="resblock32"), 7.8, 27.8),
        (Model(architecture="nguyen_unet"), 68.8, 168.7),
        (Model(architecture="side_outputs", encoder="vgg16_bn"), 14.7, 40.0),
        (Model(architecture="pix2pix"), 16.7, 10.8),
    ],
)
def test_sizes_at_full_width(settings, millions, gflop):
    with torch.device("meta"):
        model = build_network(settings, 1)
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.06)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.empty(1, 1, 256, 256, device="meta"))
    assert counter.get_total_flops() / 1e9 == pytest.approx(gflop, abs=0.06)


@pytest.mark.parametrize(
    ("architecture", "encoder", "scales"),
    [
        ("unet", "tu-resnet10t", [1, 2, 4, 8, 16]),
        ("panichev_unet", "resnet18", [1]),
        ("side_outputs", "vgg11_bn", [1] * 6),
    ],
)
def test_encoders_of_smp_and_timm(architecture, encoder, scales):
    with torch.device("meta"):
        model = build_network(Model(architecture=architecture, encoder=encoder), 2)
        outputs = model(torch.empty(1, 2, 64, 32), auxiliary=True)
    assert [o.shape[2:] for o in outputs] == [(64 // s, 32 // s) for s in scales]


def test_the_unet_is_canets_frame_with_double_convolutions_and_no_attention():
    model = built("unet")
    kinds = [type(m) for m in model.modules()]
    assert kinds.count(DoubleConv) == 9 and not {ResBlock, ContextAttention} & set(kinds)


def test_attention_group_is_a_choice_among_three_convolutions():
    torch.manual_seed(0)
    group, x = AttentionGroup(4).eval(), torch.randn(2, 4, 5, 6)
    convolution, share = group.branches[0], group.choice(x).softmax(1)
    expected = x
    for k in range(3):
        kernel = convolution.weight[4 * k : 4 * k + 4]
        found = torch.nn.functional.conv2d(x, kernel, padding=1) / (1 + 1e-5) ** 0.5
        expected = expected + share[:, k : k + 1] * found.relu()
    assert torch.allclose(group(x), expected, atol=1e-5)


def test_the_fusion_begins_as_the_mean_of_the_stages():
    fused, *sides = built("side_outputs").eval()(lines()[0], auxiliary=True)
    assert torch.allclose(fused, torch.stack(sides).mean(0), atol=1e-5)


def test_side_outputs_all_learn_whatever_the_loss_weights(tiny):
    loss = tiny.loss.model_copy(update={"scale_weights": [1.0]})
    state = build_state(tiny.model_copy(update={"model": SMALL["side_outputs"], "loss": loss}), CPU)
    assert all(p.requires_grad for p in state.model.parameters())
    state = build_state(tiny.model_copy(update={"loss": loss}), CPU)
    assert not any(p.requires_grad for p in state.model.auxiliary_heads.parameters())


@pytest.mark.parametrize("name", [name for name in available() if name != "geometry"])
def test_all_that_is_trained_has_a_part_in_the_loss(name):
    """So several processes need not look for gradients that never come."""
    recipe = load(name, ["model.encoder=resblock4", "model.blocks=1"])
    state = build_state(recipe, CPU)
    outputs = state.model(torch.rand(2, channels_of(recipe.input.kind), 64, 64), auxiliary=True)
    SkeletonLoss(recipe.loss)(outputs, torch.ones(2, 1, 64, 64)).backward()
    trained = [p for p in state.model.parameters() if p.requires_grad]
    assert trained and all(p.grad is not None for p in trained)


@pytest.mark.parametrize("architecture", ["nguyen_unet", "pix2pix"])
def test_an_encoder_for_an_architecture_with_its_own_is_one_line(architecture):
    with pytest.raises(UserError, match=r"model\.encoder=resnet18: cannot be built \(this arch"):
        build_network(Model(architecture=architecture, encoder="resnet18"), 1)


def test_an_unknown_architecture_is_one_line(overrides):
    with pytest.raises(UserError, match=r"model\.architecture is 'vnet'.*'canet', 'unet'"):
        load("demo", [*overrides, "model.architecture=vnet"])


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_a_folder_that_holds_no_model_is_one_line(tmp_path, content):
    if content:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(UserError, match=r"no model here; expected config\.json and its weights"):
        from_pretrained(tmp_path)
