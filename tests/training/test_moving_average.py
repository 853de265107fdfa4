import torch
from timm.utils.model_ema import ModelEmaV3
from torch import nn

from canet.training.moving_average import MovingAverage


def test_it_is_timms_average():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 1, 1))
    own, timms = MovingAverage(model, 0.9), ModelEmaV3(model, decay=0.9, use_warmup=True)
    for step in range(6):
        model(torch.randn(2, 1, 8, 8))  # statistics and their count move
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += torch.randn_like(parameter)
        own.update(model, step=step)
        timms.update(model, step=step)
    expected = timms.module.state_dict()
    assert all(torch.equal(found, expected[k]) for k, found in own.module.state_dict().items())
    assert own.module[1].num_batches_tracked == 6
