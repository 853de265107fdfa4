"""Training one fold, from cached maps to a saved model; it continues wherever it was killed."""

import gc
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch

from canet.core.console import UserError, shown
from canet.core.files import (
    digest_of,
    locked,
    read_json,
    sha256_of,
    write_json,
    write_with,
)
from canet.core.gpus import is_out_of_memory, refuse_unusable_gpu
from canet.core.input_planes import shown_channel
from canet.core.recipe import Loss, Recipe, check
from canet.core.runs import DONE, FACTS, fold_folder
from canet.data.training_set import TrainingSet
from canet.evaluation import pictures
from canet.geometry.metrics import best_threshold
from canet.inference.device import describe
from canet.inference.distributed import World, join
from canet.inference.saved_model import save_model
from canet.training.checkpoint import TrainState
from canet.training.memory import explain_out_of_memory
from canet.training.origin import ORIGIN, joined, origin, training_code
from canet.training.recorder import CHECKPOINT, Recorder
from canet.training.source_models import image_digests, load_source, source_outputs
from canet.training.trainer import Trainer, build_state

WEIGHTS = "model/model.safetensors"
TRAINING_SECTIONS = ("input", "model", "loss", "augment", "train", "folds")


def with_tuned_loss(recipe: Recipe, fold: int | str, images: TrainingSet) -> Recipe:
    """The recipe with the loss that the search found for this fold, where it asks for that.

    Raises:
        UserError: the recipe wants a tuned loss and there is none yet, or it was chosen on other
            images, folds, maps or settings: on images, maybe, that are held out now.
    """
    if not recipe.loss.tuned:
        return recipe
    path = fold_folder(recipe, fold) / "tuned_loss.json"
    found = read_json(path, loss=dict, identity=str)
    if not found or found["identity"] != search_fingerprint(recipe, fold, images):
        trials = recipe.loss_search.trials or 20
        problem = "was on other images, folds or settings" if found else "has not ended"
        raise UserError(
            f"{shown(path)}: loss.tuned is set and the loss search {problem}; run "
            f"src/tune_loss.py --fold {fold} --trials {trials} with the same --recipe and --set"
        )
    return recipe.model_copy(update={"loss": check(found["loss"], shown(path), Loss)})


def search_fingerprint(recipe: Recipe, fold: int | str, images: TrainingSet) -> str:
    """A digest of all that a loss search's trials depend on; their number is not among it.

    Args:
        recipe: as it asks for the search, without what that found.
        fold: that the loss is for.
        images: the recipe's training set.
    """
    settings = recipe.loss_search.model_dump(mode="json", exclude={"trials"})
    return digest_of([training_fingerprint(recipe, fold, images), settings])


def training_fingerprint(recipe: Recipe, fold: int | str, images: TrainingSet) -> str:
    """A digest of all that a training depends on: recipe, fold, images, folds, maps, source.

    The code that trains is not part of it: a training is not repeated because of it, but where it
    was another (`origin.training_code`), that is said.
    """
    settings = recipe.settings(*TRAINING_SECTIONS)
    settings["train"].pop("folds")  # which other folds are trained does not matter to this one
    parts = {"recipe": settings, "fold": fold, "images": images.fingerprint}
    return digest_of(parts | {"source": source_outputs(recipe, fold)})


def is_done(folder: Path, fingerprint: str, *, tta: bool = False) -> bool:
    """Whether this training has ended and what it left is intact.

    Args:
        folder: of the fold.
        fingerprint: of the training.
        tta: whether held-out probabilities averaged over eight views are wanted, too.
    """
    done = read_json(folder / DONE, identity=str, outputs=dict)
    return (
        done is not None
        and done["identity"] == fingerprint
        and (not tta or done.get("tta") is True)
        and WEIGHTS in done["outputs"]
        and all(
            (folder / name).is_file() and sha256_of(folder / name) == digest
            for name, digest in done["outputs"].items()
        )
    )


def by_other_code(told: dict) -> str:
    """A remark that other code than today's has trained; empty where none has, or nothing tells.

    Args:
        told: `code` and `commit` of those who trained, as `done.json` has them.
    """
    if not told.get("code") or told["code"] == training_code():
        return ""
    return f"trained by other code (commit {told.get('commit')}), --force trains it again"


def set_aside(folder: Path) -> Path:
    """Rename the folder of another experiment's training, so that nothing is lost.

    What was made for the next training stays: its tuned loss.
    """
    number = 1
    while (kept := folder.with_name(f"{folder.name}.old{number}")).exists():
        number += 1
    folder.rename(kept)
    tuned = kept / "tuned_loss.json"
    if tuned.exists():
        folder.mkdir()
        write_with(folder / tuned.name, lambda t: t.write_bytes(tuned.read_bytes()))
    return kept


def train_fold(
    recipe: Recipe, fold: int | str, *, force: bool = False, images: TrainingSet | None = None
) -> Path:
    """Train one fold, or continue it, and write its folder; under torchrun, with all processes.

    Args:
        recipe: resolved; stored with the model.
        fold: number of the held-out fold, or `all` to train on every image.
        force: start over; what was there is renamed, never deleted.
        images: the recipe's training set, where it has been read already.

    Returns:
        the fold's folder: `model/`, `metrics.csv`, `curves.png`, `panel.png`,
        `held_out.npz` (names and probabilities as uint8 levels, from one view and, with
        `predict.tta`, averaged over eight), `tensorboard/`.

    Raises:
        UserError: no folds or images, out of memory (with the batch that fits), SIGTERM, or
            another process trains this fold.
    """
    folder = fold_folder(recipe, fold)
    world, device = join(recipe.machine.device)
    if device.type == "cpu":
        refuse_unusable_gpu(recipe.machine.device)
    with ExitStack() as held:
        if world.is_first:
            problem = f"fold {fold} is being trained by {{holder}}; wait for it, or stop it"
            held.enter_context(locked(folder.with_name(f".{folder.name}.lock"), problem))
        training = FoldTraining(
            recipe, fold, images or TrainingSet(recipe), world=world, device=device
        )
        training.run(force=force)
    return folder


class FoldTraining:
    """One fold's training, from images to its folder.

    Args:
        recipe: resolved.
        fold: number of the held-out fold, or `all`.
        images: the recipe's training set.
        world: the processes at this training.
        device: of this process.
    """

    def __init__(
        self,
        recipe: Recipe,
        fold: int | str,
        images: TrainingSet,
        *,
        world: World,
        device: torch.device,
    ):
        self.fold, self.images = fold, images
        self.world, self.device = world, device
        self.folder = fold_folder(recipe, fold)
        with world.first_alone():  # it may build the cache
            self.recipe = with_tuned_loss(recipe, fold, images)
            self.fingerprint = training_fingerprint(self.recipe, fold, images)

    def run(self, *, force: bool = False) -> None:
        """Train, or continue, and write everything; nothing where it is done already."""
        done = is_done(self.folder, self.fingerprint, tta=self.recipe.predict.tta)
        if self.world.share(done) and not force:
            by = by_other_code(read_json(self.folder / DONE) or {})
            again = f"skipped; {by}" if by else "trained already, skipped (--force does it again)"
            print(f"   fold {self.fold}: {again}")
            return
        train, held_out = self.images.split(self.fold)
        source = load_source(self.recipe, self.fold, held_out, device=self.device)
        known = source.known_images | set(image_digests(train).values())
        state = build_state(self.recipe, self.device, source.weights)
        trainer = Trainer(self.recipe, train, held_out, device=self.device, world=self.world)
        resumed = self._resume(state, force=force)
        self._announce(trainer, state, resumed=resumed)
        try:
            self._train(trainer, state, force=force)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            del state, trainer  # what they hold must not count when batches are tried
        else:
            self._finish(trainer, state, known_images=sorted(known))
            return
        gc.collect()
        raise UserError(explain_out_of_memory(self.recipe, train, self.device, world=self.world))

    def _resume(self, state: TrainState, *, force: bool) -> bool:
        """Whether the state continues from this training's checkpoint, alike in every process."""
        path, resumed = self.folder / CHECKPOINT, False
        if self.world.is_first:
            resumed = not force and state.restore(path, self.fingerprint, self.device)
            left = any((self.folder / name).exists() for name in (CHECKPOINT, DONE, "model"))
            if not resumed and left:
                kept = shown(set_aside(self.folder))
                print(f"   fold {self.fold}: another training was here, kept as {kept}")
        resumed = self.world.share(resumed)
        is_other = resumed and not self.world.is_first
        if is_other and not state.restore(path, self.fingerprint, self.device):
            raise UserError(
                f"{shown(path)}: the first process continues from it, process {self.world.rank} "
                f"does not see it; all machines need the same runs folder (machine.runs)"
            )
        return resumed

    def _announce(self, trainer: Trainer, state: TrainState, *, resumed: bool) -> None:
        parameters = sum(p.numel() for p in state.model.parameters()) / 1e6
        said = [
            f"   fold {self.fold}: {len(trainer.train)} images",
            f"{len(trainer.held_out) if trainer.held_out else 0} held out",
            f"{parameters:.2f} M parameters",
            describe(self.device),
            trainer.precision,
        ]
        said += [f"{self.world.size} processes"] if self.world.size > 1 else []
        said += [f"continues in epoch {state.epoch + 1}"] if resumed else []
        by = by_other_code(joined(state.origins))
        print(", ".join(said) + (f"; {by}" if by else ""), flush=True)

    def _train(self, trainer: Trainer, state: TrainState, *, force: bool) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        own = origin(describe(self.device), trainer.precision) if self.world.is_first else None
        if own and own not in state.origins and state.epoch < self.recipe.train.epochs:
            is_unknown = (state.epoch or state.step) and not state.origins  # who began
            state.origins.append(own | {"code": ""} if is_unknown else own)
        with Recorder(
            self.folder,
            self.fingerprint,
            every_s=self.recipe.machine.checkpoint_every_s,
            first_epoch=state.epoch,
            world=self.world,
            again=f"the same command{' without --force' * force}",
        ) as recorder:
            trainer.run(state, recorder, label=f"fold {self.fold}")
            recorder.on_training_end(state)

    def _origin(self, trainer: Trainer, state: TrainState) -> dict:
        """What is told of those who trained; checkpoints of before leave that to the model."""
        if state.origins:
            return joined(state.origins)
        told = {key: kind for key, kind in ORIGIN.items() if key != "code"}
        kept = read_json(self.folder / "model" / FACTS, identity=str, **told)
        if not kept or kept["identity"] != self.fingerprint:
            kept = origin(describe(self.device), trainer.precision)
        return {key: kept[key] for key in told} | {"code": ""}

    def _finish(self, trainer: Trainer, state: TrainState, known_images: list[str]) -> None:
        """Write model, held-out probabilities, pictures; last of all the mark that it is done."""
        recipe, folder, held_out = self.recipe, self.folder, trainer.held_out
        state.eval_model.eval()
        levels = {}
        if held_out:
            levels["levels"] = trainer.predict_held_out(state.eval_model)
        if held_out and recipe.predict.tta:
            levels["levels_tta"] = trainer.predict_held_out(state.eval_model, tta=True)
        if not self.world.is_first:
            return
        pictures.draw_curves(state.history, folder / "curves.png")
        if held_out:
            arrays = {"names": np.array(held_out.names)} | levels
            write_with(folder / "held_out.npz", lambda t: _save_arrays(t, arrays))
            skeletons = held_out.skeletons > 0
            pictures.draw_panel(
                held_out.maps[:, shown_channel(recipe.input.kind)],
                skeletons,
                levels["levels"],
                threshold=best_threshold(levels["levels"], skeletons)[0],
                names=held_out.names,
                path=folder / "panel.png",
            )
        by = self._origin(trainer, state)
        code = by.pop("code")
        facts = {"fold": self.fold, "identity": self.fingerprint} | by
        facts |= {
            "images": self.images.digest,
            "known_images": known_images,
            "recipe": recipe.stored(),
            "training_images": trainer.train.names,
            "finished_at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "processes": self.world.size,
            "parameters": sum(p.numel() for p in state.model.parameters()),
            "training_s": round(sum(row["elapsed_s"] for row in state.history), 1),
        }
        save_model(state.eval_model, folder / "model", facts)
        written = sorted((folder / "model").iterdir())
        written += [folder / "held_out.npz"] if held_out else []
        done = {"identity": self.fingerprint, "finished_at": facts["finished_at"]}
        done |= {"tta": recipe.predict.tta, "commit": by["commit"], "code": code}
        done["outputs"] = {str(p.relative_to(folder)): sha256_of(p) for p in written}
        write_json(folder / DONE, done)


def _save_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with open(path, "wb") as file:
        np.savez_compressed(file, **arrays)
