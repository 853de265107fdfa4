import pytest
import torch

from canet.core.console import UserError
from canet.data.training_set import TrainingSet
from canet.inference.distributed import ALONE
from canet.training import memory
from canet.training.fold import train_fold
from canet.training.memory import explain_out_of_memory, largest_batch
from canet.training.trainer import Trainer

CPU = torch.device("cpu")
NO_HOST_MEMORY = "[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory"


@pytest.fixture
def explain(tiny, monkeypatch):
    """The line for a GPU on which so many images fit, of a training with batches of 10."""

    def explain(limit: int) -> str:
        monkeypatch.setattr(memory, "describe", lambda device: "a GPU")
        monkeypatch.setattr(memory, "fits", lambda *_, batch: batch <= limit)
        hungry = tiny.model_copy(update={"train": tiny.train.model_copy(update={"batch": 10})})
        return explain_out_of_memory(hungry, None, torch.device("cuda"), world=ALONE)

    return explain


def test_out_of_memory_names_the_largest_batch(explain):
    assert explain(3) == (
        "out of memory on a GPU with train.batch=10; try train.batch=3, with a lower train.lr than "
        "0.004, which is for the larger one"
    )
    assert explain(0).endswith(
        "not even train.batch=1 fits: lower augment.crop_px (null: whole images), or take a "
        "narrower model.encoder"
    )


def test_out_of_memory_elsewhere_does_not_blame_the_batch(explain):
    assert "not by train.batch=10, which fits alone; lower predict.batch=8, or" in explain(10)


def test_what_fits_is_found_by_training(tiny, tiny_folds, monkeypatch):
    train_step = Trainer.train_step

    def small_memory(self, loss_of, state, batch):
        if len(batch[0]) > 3:
            raise torch.OutOfMemoryError
        return train_step(self, loss_of, state, batch)

    monkeypatch.setattr(Trainer, "train_step", small_memory)
    samples, _ = TrainingSet(tiny).split(0)
    assert [memory.fits(tiny, samples, CPU, batch=b) for b in (3, 4)] == [True, False]


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError(NO_HOST_MEMORY)], ids=["py", "torch"]
)
def test_where_the_hosts_memory_has_run_out_no_batch_is_tried(tiny, tiny_folds, monkeypatch, error):
    def no_memory(*_, **__):
        raise error

    monkeypatch.setattr(Trainer, "train_step", no_memory)
    monkeypatch.setattr(memory, "fits", None)
    with pytest.raises(UserError, match=r"batch=4; lower train\.batch, predict.* augment\.crop_px"):
        train_fold(tiny, 0)


@pytest.mark.parametrize("limit", [0, 1, 5, 9])
def test_largest_batch_by_bisection(limit):
    assert largest_batch(lambda b: b <= limit, 10) == limit


def test_a_large_batch_is_found_with_some_room():
    tried = []
    assert largest_batch(lambda b: tried.append(b) or b <= 252, 512) == 240
    assert len(tried) <= 5
