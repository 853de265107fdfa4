import pytest
import torch
from fake_runs import noisy_images, write_fold, write_images

from canet.core.console import UserError
from canet.core.files import write_json
from canet.core.recipe import Postprocess
from canet.core.runs import FACTS, find_run, newest_run, require_same_experiment
from canet.inference.trained_run import load_run

CPU = torch.device("cpu")


def test_a_run_is_loaded_with_its_threshold(tiny, tmp_path):
    images = noisy_images()
    lines = write_images(tiny, images, tmp_path / "lines")
    with pytest.raises(UserError, match="is not trained"):
        load_run(lines.run_folder, [], CPU)
    for fold in (0, 1):
        write_fold(lines, fold, images)
    assert load_run(lines.run_folder, [], CPU).threshold == 0.5
    tuned = {"threshold": 0.3, "postprocess": Postprocess(thin=True).model_dump()}
    tuned |= {"study": "tiny: threshold", "images": 6, "trained": {"0": "fold 0", "1": "fold 1"}}
    write_json(lines.run_folder / "threshold.json", tuned)
    run = load_run(lines.run_folder, [], CPU)
    assert len(run.models) == 2 and run.threshold == 0.3 and run.postprocess.thin
    write_fold(lines, "all", images)
    assert [m.facts["fold"] for m in load_run(lines.run_folder, [], CPU).models] == ["all"]
    assert len(load_run(lines.run_folder, ["1"], CPU).models) == 1
    assert newest_run(lines.run_folder.parent) == lines.run_folder
    write_fold(lines, 0, images, identity="another training")
    with pytest.raises(UserError, match="earlier training"):
        load_run(lines.run_folder, ["1"], CPU)


def test_folds_of_different_recipes_are_not_mixed(tiny, tmp_path):
    images = noisy_images()
    lines = write_images(tiny, images, tmp_path / "lines")
    faster = lines.model_copy(update={"train": lines.train.model_copy(update={"lr": 0.1})})
    write_fold(lines, 0, images)
    write_fold(faster, 1, images)
    with pytest.raises(UserError, match="trained by different recipes"):
        load_run(lines.run_folder, [], CPU)


def test_folds_of_different_losses_are_not_mixed_unless_all_are_tuned(tiny, tmp_path):
    images = noisy_images()
    lines = write_images(tiny, images, tmp_path / "lines")

    def write(fold: int, **loss) -> None:
        changed = lines.loss.model_copy(update=loss)
        write_fold(lines.model_copy(update={"loss": changed}), fold, images)

    write(0, gamma=1.0)
    write(1, gamma=2.0)
    with pytest.raises(UserError, match="folds 0 and 1 were trained by different recipes"):
        load_run(lines.run_folder, [], CPU)
    write(0, gamma=1.0, tuned=True)
    with pytest.raises(UserError, match="folds 0 and 1 were trained by different recipes"):
        load_run(lines.run_folder, [], CPU)
    write(1, gamma=2.0, tuned=True)
    assert len(load_run(lines.run_folder, [], CPU).models) == 2


def test_what_is_not_trained_is_told_from_what_is_damaged(tiny, tmp_path):
    images = noisy_images()
    lines = write_images(tiny, images, tmp_path / "lines")
    for fold in (0, 1):
        write_fold(lines, fold, images)
    with pytest.raises(UserError, match=r"fold all is not trained; trained are 0, 1; choose"):
        require_same_experiment(lines.run_folder, ["0", "all"])
    (lines.run_folder / "fold-1" / "model" / FACTS).unlink()
    with pytest.raises(UserError, match=r"training.json: missing or damaged; train fold 1 again"):
        require_same_experiment(lines.run_folder, ["0", "1"])


def test_the_newest_run_is_so_wherever_its_clock_was(tmp_path):
    ended = {"first": "2026-01-10T01:00:00+0000", "last": "2026-01-09T23:30:00-0800", "odd": "z"}
    for name, time in ended.items():
        done = {"identity": "", "finished_at": time}
        write_json(tmp_path / name / "fold-0" / "done.json", done)
    assert newest_run(tmp_path) == tmp_path / "last"


def test_an_unknown_run_names_what_is_there(tiny, tmp_path):
    with pytest.raises(UserError, match=r"trained runs: none; .*weights/canet_axis, weights/geom"):
        find_run("canet_axis", tmp_path)


def test_folds_of_different_images_are_not_mixed(tiny, tmp_path):
    images = noisy_images()
    lines = write_images(tiny, images, tmp_path / "lines")
    for fold, digest in enumerate(["", "a", "a"]):
        write_fold(lines, fold, images, digest=digest)
    assert len(load_run(lines.run_folder, [], CPU).models) == 3  # one does not tell
    write_fold(lines, 3, images, digest="b")
    with pytest.raises(UserError, match="folds 1, 2 and 3 were trained on different images"):
        load_run(lines.run_folder, [], CPU)
    assert len(load_run(lines.run_folder, ["1", "2"], CPU).models) == 2
    tuned = {"threshold": 0.3, "postprocess": {}, "study": "s", "images": 6}
    write_json(lines.run_folder / "threshold.json", tuned | {"trained": {"3": "fold 3"}})
    write_fold(lines, "all", images, digest="a")
    with pytest.raises(UserError, match="folds 3 and all were trained on different images"):
        load_run(lines.run_folder, [], CPU)
    write_fold(lines, "all", images, digest="b")
    assert load_run(lines.run_folder, [], CPU).threshold == 0.3
