"""A model folder by itself."""

import numpy as np
import pytest
import torch

from canet.core.console import UserError
from canet.core.runs import fold_folder
from canet.data.training_set import TrainingSet
from canet.inference.saved_model import load_model

CPU = torch.device("cpu")


def test_a_model_folder_loads_without_code_or_network(trained):
    folder = fold_folder(trained, 0)
    model = load_model(folder / "model", CPU)
    levels = np.load(folder / "held_out.npz")["levels"]
    _, held_out = TrainingSet(trained).split(0)
    with torch.inference_mode():
        probability = model.network(torch.from_numpy(held_out.maps)).sigmoid().numpy()[:, 0]
    assert np.abs(probability - levels / 256).max() < 1 / 256 + 1e-4
    (folder / "model" / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(UserError, match="damaged model"):
        load_model(folder / "model", CPU)
