import numpy as np
import pytest
import torch

from canet.benchmarks import training
from canet.core.console import UserError
from canet.core.recipe_files import available, load
from canet.data.training_set import Samples

CPU = torch.device("cpu")


def test_each_row_of_the_speed_ladder_adds_to_those_before(tiny):
    rows = [training.settings_up_to(name) for name in training.CHANGES]
    assert rows[0] == training.PLAIN and rows[-1]["train.batch"] == 64
    assert rows[4]["machine.graphs"] is True and rows[4]["machine.compile"] is False
    assert rows[5]["machine.compile"] is True and rows[4]["machine.channels_last"] is True


def test_operations_grow_with_the_square_of_the_width(tiny):
    samples = training.generated_samples(tiny, 2)
    narrow = training.image_flop(tiny, samples, CPU)
    model = tiny.model.model_copy(update={"encoder": "resblock8"})
    wide = training.image_flop(tiny.model_copy(update={"model": model}), samples, CPU)
    assert 3 < wide / narrow < 4.1


def test_operations_are_the_mean_of_windows_of_several_sizes(tiny):
    kind = tiny.input.model_copy(update={"window": "shape"})
    still = tiny.augment.model_copy(
        update={"crop_px": None, "flips_and_turns": False, "shift_px": 0, "relabel": 0.0}
    )
    recipe = tiny.model_copy(update={"input": kind, "augment": still})

    def flop(*sides: int) -> float:
        maps = np.zeros((len(sides), 1, 128, 128), np.float32)
        for picture, side in zip(maps, sides):
            picture[:, :side, :side] = 1
        labels = (maps[:, 0] > 0).astype(np.uint8)
        samples = Samples([f"{i}.png" for i in range(len(sides))], maps, labels)
        return training.image_flop(recipe, samples, CPU)

    small, large = flop(20, 20), flop(100, 100)
    assert flop(20, 20, 100, 100) == (small + large) / 2 and small < large


@pytest.mark.parametrize("name", available())
def test_every_recipes_training_can_be_timed(name):
    given = load(name, ["model.encoder=resblock4"])
    samples = training.generated_samples(given, 2)
    settings = training.PLAIN | {"train.batch": 2}
    trainer, state = training.prepare(given, settings, samples, device=CPU)
    x, y = next(iter(trainer.loader))
    assert len(x) == len(y) == 2 and x.shape[2:] == y.shape[2:]
    assert state.model(x[..., :32, :32]).shape == (2, 1, 32, 32)


def test_an_unknown_row_names_the_known(tiny):
    with pytest.raises(UserError, match=r"--rows warp: expected some of plain, bfloat16"):
        training.benchmark_training(tiny, rows=["warp"], device_name="cpu")
