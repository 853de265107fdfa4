import pytest
import torch

from canet.core.console import UserError
from canet.core.recipe import Loss, check
from canet.core.recipe_files import load
from canet.core.runs import fold_folder
from canet.data.training_set import TrainingSet
from canet.inference.distributed import World
from canet.network.earlier.adversary import Adversary, PatchDiscriminator
from canet.training.fold import train_fold
from canet.training.losses import SkeletonLoss
from canet.training.recorder import Recorder
from canet.training.trainer import Trainer, build_state

CPU = torch.device("cpu")
PIX2PIX = ["model.architecture=pix2pix", "loss.l1=10", "loss.adversarial=1", "train.ema_decay=0.9"]


@pytest.fixture
def pix2pix(overrides):
    return load("demo", [*overrides, *PIX2PIX])


def test_each_judgement_sees_a_patch_of_70_pixels():
    network = PatchDiscriminator(2, 4).eval()
    x = torch.zeros(1, 2, 128, 128, requires_grad=True)
    judged = network(x)
    assert judged.shape == (1, 1, 14, 14)
    judged[0, 0, 7, 7].backward()
    rows = x.grad.abs().sum((0, 1, 3)).nonzero()
    assert rows.max() - rows.min() + 1 == 70


def test_it_learns_to_tell_and_its_gradient_goes_to_the_generator_alone():
    torch.manual_seed(0)
    adversary, x = Adversary(1, 4, CPU), torch.zeros(2, 1, 64, 64)
    y = torch.zeros(2, 1, 64, 64)
    y[..., 32] = 1
    logits = torch.full((2, 1, 64, 64), -4.0, requires_grad=True)
    first = adversary.against(x, logits, y).item()
    before = [p.clone() for p in adversary.network.parameters()]
    for _ in range(40):
        last = adversary.against(x, logits, y)
    assert last > first + 0.5  # it is no longer taken in
    assert any(not torch.equal(a, b) for a, b in zip(before, adversary.network.parameters()))
    assert logits.grad is None
    own = [None if p.grad is None else p.grad.clone() for p in adversary.network.parameters()]
    last.backward()
    assert logits.grad.abs().sum() > 0
    for grad, p in zip(own, adversary.network.parameters()):
        assert torch.equal(grad, p.grad)


def test_l1_by_hand():
    y = torch.tensor([1.0, 0.0]).reshape(1, 1, 1, 2)
    logits = torch.logit(torch.tensor([0.8, 0.3])).reshape(1, 1, 1, 2)
    weights = {"positive_weight": 0.9, "negative_weight": 0.1}
    loss = SkeletonLoss(Loss(dice=0, focal=0, l1=10, scale_weights=[1], **weights))
    assert loss([logits], y).item() == pytest.approx(10 * (0.9 * 0.2 + 0.1 * 0.3) / 2)


def test_the_average_is_of_the_generator_and_the_model_has_no_adversary(pix2pix):
    state = build_state(pix2pix, CPU)
    assert (
        state.adversary and state.ema.module.state_dict().keys() == state.model.state_dict().keys()
    )
    assert build_state(check(pix2pix.stored() | {"loss": {}}, "plain"), CPU).adversary is None


@pytest.mark.parametrize("after", [1, 5])
def test_interrupted_it_ends_bit_for_bit_the_same(pix2pix, tiny_folds, monkeypatch, after):
    def weights(folder):
        return (folder / "model" / "model.safetensors").read_bytes()

    def adversary(folder):
        return torch.load(folder / "checkpoint.pt", weights_only=True)["adversary"]

    folder = train_fold(pix2pix, 0)
    whole, judge = weights(folder), adversary(folder)
    steps = []

    def stop_after(self, state):
        self.save(state)
        steps.append(state.step)
        if len(steps) == after:
            raise KeyboardInterrupt

    monkeypatch.setattr(Recorder, "on_step_end", stop_after)
    with pytest.raises(KeyboardInterrupt):
        train_fold(pix2pix, 0, force=True)
    monkeypatch.undo()
    train_fold(pix2pix, 0)
    assert weights(fold_folder(pix2pix, 0)) == whole
    again = adversary(folder)
    assert again["network"].keys() == judge["network"].keys()
    assert all(torch.equal(again["network"][k], v) for k, v in judge["network"].items())
    for k, moments in judge["optimizer"]["state"].items():
        found = again["optimizer"]["state"][k]
        assert all(torch.equal(found[name], value) for name, value in moments.items())


def test_several_processes_are_refused_in_one_line(pix2pix, tiny_folds):
    train, held_out = TrainingSet(pix2pix).split(0)
    with pytest.raises(UserError, match=r"loss\.adversarial=1 trains in one process, not in 2"):
        Trainer(pix2pix, train, held_out, device=CPU, world=World(0, 2))
