import pytest
import torch

from canet.core.console import UserError
from canet.training.fold import train_fold
from canet.training.memory import largest_batch
from canet.training.trainer import Trainer


def test_out_of_memory_names_the_largest_batch(tiny, tiny_folds, monkeypatch):
    train_step = Trainer.train_step

    def small_memory(self, loss_of, state, batch):
        if len(batch[0]) > 3:
            raise torch.OutOfMemoryError
        return train_step(self, loss_of, state, batch)

    monkeypatch.setattr(Trainer, "train_step", small_memory)
    hungry = tiny.model_copy(update={"train": tiny.train.model_copy(update={"batch": 10})})
    with pytest.raises(UserError, match=r"train\.batch=10.*train\.batch=3$"):
        train_fold(hungry, 0)


def test_out_of_memory_elsewhere_does_not_blame_the_batch(tiny, tiny_folds, monkeypatch):
    def no_memory(*_, **__):
        raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate")

    monkeypatch.setattr(Trainer, "predict_held_out", no_memory)
    with pytest.raises(UserError, match=r"not by train\.batch=4, .* lower predict\.batch=8, or"):
        train_fold(tiny, 0)


@pytest.mark.parametrize("limit", [0, 1, 5, 9])
def test_largest_batch_by_bisection(limit):
    assert largest_batch(lambda b: b <= limit, 10) == limit


def test_a_large_batch_is_found_with_some_room():
    tried = []
    assert largest_batch(lambda b: tried.append(b) or b <= 252, 512) == 240
    assert len(tried) <= 5
