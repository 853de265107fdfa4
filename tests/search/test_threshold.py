import pytest
from fake_runs import noisy_images, write_fold, write_images

from canet.core.console import UserError
from canet.core.recipe import Postprocess
from canet.data.data_set import DataSet
from canet.evaluation.out_of_fold import f1_of
from canet.evaluation.sweep import sweep
from canet.postprocess.threshold import tuned_threshold
from canet.search import threshold as threshold_search
from canet.search.threshold import search_fingerprint, search_threshold


@pytest.fixture
def images():
    return noisy_images()


@pytest.fixture
def untrained(tiny, images, tmp_path):
    """The tiny recipe on a data set of six lines."""
    return write_images(tiny, images, tmp_path / "lines")


@pytest.fixture
def trained(untrained, images):
    """The same, with a fold that holds all six out."""
    write_fold(untrained, 0, images)
    return untrained


def test_threshold_search_is_within_tolerance_of_the_sweep(trained, images):
    result = search_threshold(trained)
    chosen = Postprocess(**result["postprocess"])
    at_choice = f1_of(images, result["threshold"], chosen).mean()
    assert result["f1"] == pytest.approx(at_choice)
    for switches in (Postprocess(), trained.postprocess, chosen):
        assert at_choice >= sweep(images, switches)[1].mean(0).max() - 0.0005
    assert (trained.run_folder / "threshold.png").stat().st_size > 1000


def test_a_poor_study_is_overruled_by_the_sweep(trained, capsys):
    result = search_threshold(trained, trials=1)
    assert "a sweep at" in (said := capsys.readouterr().out) and "sweep's choice is used" in said
    assert result["f1"] == result["f1_sweep"] > result["f1_study"]


@pytest.mark.parametrize(
    "named",
    [
        {"components": "one", "join": "drop"},
        {"components": "per_shape", "thin": True},
        {"components": "any", "spur_px": 3},
        {"components": "one", "join": "candidates"},
    ],
)
def test_what_the_recipe_names_is_kept_and_its_cost_is_known(trained, images, named):
    asked = trained.model_copy(update={"postprocess": Postprocess(**named)})
    result = search_threshold(asked, trials=2)
    assert result["postprocess"].items() >= named.items()
    chosen = Postprocess(**result["postprocess"])
    at_choice = f1_of(images, result["threshold"], chosen).mean()
    assert result["f1"] == pytest.approx(at_choice) == result["after"]["f1"]
    plain_f1 = sweep(images, Postprocess())[1].mean(0).max()
    assert result["f1_without_postprocessing"] == pytest.approx(plain_f1)
    assert result["before"]["f1"] == pytest.approx(plain_f1)
    if named["components"] != "any":
        assert result["after"]["one_component"] == 1 and result["after"]["breaks"] == 0


def test_searched_switches_are_never_below_plain_thresholding(trained, monkeypatch):
    def worse(images, threshold, settings):  # as if every switch spoilt the skeletons
        return f1_of(images, threshold, settings) * (1 if settings.is_plain else 0.5)

    monkeypatch.setattr(threshold_search, "f1_of", worse)
    result = search_threshold(trained)
    assert Postprocess(**result["postprocess"]).is_plain
    assert result["f1"] >= result["f1_without_postprocessing"]


def test_a_search_continues_and_is_done_once(trained):
    result = search_threshold(trained, trials=2)
    assert result["images"] == 6 and result["trained"] == {"0": "fold 0"}
    path = trained.run_folder / "threshold.json"
    written = path.stat().st_mtime_ns
    assert result == search_threshold(trained, trials=2)
    assert path.stat().st_mtime_ns == written  # current: read, not searched again
    (trained.run_folder / "sweep.csv").unlink()
    assert search_threshold(trained, trials=3)["trials"] == 3
    assert (trained.run_folder / "sweep.csv").is_file()
    scores = (trained.run_folder / "scores.csv").read_text()
    assert all(name in scores for name in ("network", "zhang_suen", "lee", "medial_axis"))
    assert search_threshold(trained, trials=1, force=True)["trials"] == 1


def test_of_another_training_with_the_same_probabilities_it_is_written_again(trained, images):
    before = search_threshold(trained, trials=2)
    write_fold(trained, 0, images, "another")
    with pytest.raises(UserError, match="of an earlier training"):
        tuned_threshold(trained.run_folder)
    after = search_threshold(trained, trials=2)
    assert after["trained"] == {"0": "another"} and after["study"] == before["study"]
    assert tuned_threshold(trained.run_folder)["threshold"] == before["threshold"]


def test_an_untrained_run_is_one_line(untrained):
    with pytest.raises(UserError, match=r"src/train\.py"):
        search_threshold(untrained)


def test_folds_of_different_recipes_are_not_mixed(trained, images):
    lr = trained.train.model_copy(update={"lr": 0.1})
    write_fold(trained.model_copy(update={"train": lr}), 1, images)
    with pytest.raises(UserError, match="trained by different recipes"):
        search_threshold(trained)


def test_a_search_depends_on_all_that_its_results_come_from(trained, images, monkeypatch):
    def fingerprint(recipe=trained) -> str:
        return search_fingerprint(recipe, DataSet.of(recipe))

    found = [fingerprint()]
    for switches in ({"components": "one"}, {"components": "any"}):
        found.append(
            fingerprint(trained.model_copy(update={"postprocess": Postprocess(**switches)}))
        )
    views = trained.predict.model_copy(update={"tta": True})
    found.append(fingerprint(trained.model_copy(update={"predict": views})))
    with monkeypatch.context() as patched:
        patched.setitem(threshold_search.SPACE, "join", ["drop", "path", "candidates"])
        found.append(fingerprint())
    with monkeypatch.context() as patched:
        patched.setattr(threshold_search, "code_digest", lambda *modules: "changed")
        found.append(fingerprint())
    write_fold(trained, 1, images)
    found.append(fingerprint())
    shape = trained.data_root / trained.data.train_shapes / images.names[0]
    shape.write_bytes(shape.read_bytes() + b"\0")
    found.append(fingerprint())
    assert len(set(found)) == len(found)
    more = trained.threshold_search.model_copy(update={"trials": 99})
    assert fingerprint(trained.model_copy(update={"threshold_search": more})) == found[-1]
