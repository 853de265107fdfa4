import pytest
import torch
from segmentation_models_pytorch.encoders import get_encoder

from canet.network import CANet, ContextAttention, attention


def test_smp_knows_own_encoders_which_double_their_channels():
    assert get_encoder("resblock16", in_channels=1, depth=4).out_channels == [16, 32, 64, 128, 256]


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_input_channels(channels):
    model = CANet("resblock4", blocks=1, in_channels=channels).eval()
    assert model(torch.randn(1, channels, 32, 32)).shape == (1, 1, 32, 32)


def test_size_of_the_papers_network():
    with torch.device("meta"):
        model = CANet("resblock64")
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(96e6, rel=0.01)
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.empty(1, 1, 256, 256, device="meta"))
    assert counter.get_total_flops() == pytest.approx(279e9, rel=0.01)


def test_three_resblocks_a_stage_and_attention_at_3_to_5():
    model = CANet("resblock8")
    assert [len(s) for s in model.encoder.stages] == [3] * 5
    assert [len(s.blocks) for s in model.decoder.stages] == [3] * 4
    attends = [isinstance(m, ContextAttention) for m in model.encoder.attention]
    assert attends == [False, False, True, True, True]
    attends = [isinstance(s.attention, ContextAttention) for s in model.decoder.stages]
    assert attends == [False, False, True, True]


def test_attention_stages_are_chosen():
    model = CANet("resblock8", attention_stages=())
    assert not any(isinstance(m, ContextAttention) for m in model.modules())


def test_any_encoder_of_timm_without_download():
    model = CANet("tu-resnet18", decoder_channels=(4, 8, 8, 8, 8), blocks=1).eval()
    outputs = model(torch.randn(1, 1, 64, 64), auxiliary=True)
    assert [o.shape[-1] for o in outputs] == [64, 32, 16, 8, 4]


def test_attention_begins_as_the_gated_identity():
    torch.manual_seed(0)
    block = ContextAttention(32).eval()
    torch.nn.init.zeros_(block.norm.weight)
    x = torch.rand(1, 32, 8, 8)
    ratio = block(x) / x
    assert torch.allclose(ratio, ratio.mean((2, 3), keepdim=True).expand_as(ratio), atol=1e-5)


def test_attention_is_softmax_of_products():
    """Against the formula written out with a full (HW, HW) matrix."""
    torch.manual_seed(0)
    block, x = ContextAttention(32).eval(), torch.randn(2, 32, 5, 4)
    torch.nn.init.normal_(block.norm.weight)
    q, k, v = block.query_key_value(x).flatten(2).chunk(3, dim=1)  # each (B, d, HW)
    weights = (q.transpose(1, 2) @ k / 8**0.5).softmax(-1)  # (B, HW, HW)
    context = (v @ weights.transpose(1, 2)).reshape(2, 8, 5, 4)
    y = torch.relu(x + block.norm(block.project(context)))
    assert torch.allclose(block(x), y * block.channel_gate(y), atol=1e-5)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_attentions_channels_lie_side_by_side_in_any_memory_format(layout, monkeypatch):
    """Only then do torch's kernels without quadratic memory take them."""
    seen = []
    attend = attention.scaled_dot_product_attention
    monkeypatch.setattr(
        attention,
        "scaled_dot_product_attention",
        lambda q, k, v: seen.extend(t.stride(-1) for t in (q, k, v)) or attend(q, k, v),
    )
    ContextAttention(32)(torch.randn(2, 32, 8, 8).to(memory_format=layout))
    assert seen == [1, 1, 1]


def test_on_a_cpu_attention_trains_in_float32_and_predicts_in_bfloat16(monkeypatch):
    given = []
    attend = attention.scaled_dot_product_attention
    monkeypatch.setattr(
        attention,
        "scaled_dot_product_attention",
        lambda q, k, v: given.append(q.dtype) or attend(q, k, v),
    )
    layer, x = ContextAttention(16), torch.randn(2, 16, 8, 8)
    torch.nn.init.ones_(layer.norm.weight)
    with torch.autocast("cpu", torch.bfloat16):
        layer.train()(x).sum().backward()
        layer.eval()(x)
    assert given == [torch.float32, torch.bfloat16]
    assert layer.query_key_value.weight.grad.abs().sum() > 0
