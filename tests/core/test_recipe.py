import optuna
import pytest
import yaml

from canet.core.console import UserError
from canet.core.default_recipe import choose
from canet.core.gpus import Gpu
from canet.core.recipe import ADDED_LATER, check, check_stored
from canet.core.recipe_files import available, load
from canet.search.postprocess_space import named_switches, suggest


@pytest.mark.parametrize("name", available())
def test_every_recipe_loads_and_survives_storing(name):
    loaded = load(name)
    assert loaded.name == name
    assert check(yaml.safe_load(loaded.to_yaml()), "stored").stored() == loaded.stored()


def test_what_was_stored_is_checked_like_any_recipe():
    stored = load("cpu").stored()
    assert check_stored(stored | {"machine": {"device": "somebody's"}}, "here") == load("cpu")
    with pytest.raises(UserError, match=r"^here: unknown key augment.native_epochs"):
        check_stored(stored | {"augment": stored["augment"] | {"native_epochs": 3}}, "here")
    with pytest.raises(UserError, match="holds no recipe"):
        check_stored([stored], "here")


def test_a_kept_recipe_names_what_the_recipe_named():
    for overrides in ([], ["postprocess.thin=true"]):
        loaded = load("cpu", overrides)
        again = check(yaml.safe_load(loaded.to_yaml()), "kept")
        assert named_switches(again) == named_switches(loaded) and again == loaded
    assert "thin" in named_switches(again)


def test_paper_is_the_papers():
    r = load("paper")
    assert (r.train.optimizer, r.train.lr, r.train.epochs, r.train.batch) == ("sgd", 0.02, 200, 8)
    assert (r.train.momentum, r.train.weight_decay) == (0.9, 1e-5)
    assert (r.loss.dice, r.loss.focal, r.loss.gamma) == (1, 100, 2)
    assert (r.model.encoder, r.model.attention_stages) == ("resblock64", [3, 4, 5])
    assert (r.input.kind, r.input.mask) == ("repaired_distance", "any")
    assert r.postprocess.is_plain and not r.postprocess.inside_shape


def test_the_papers_search_is_for_a_threshold_alone():
    r = load("paper")
    trial = optuna.trial.FixedTrial({"threshold": 0.3})  # whatever else it draws is an error
    assert suggest(trial, r) == (0.3, r.postprocess)


@pytest.mark.parametrize(
    ("override", "hint"),
    [
        ("train.epoch=3", "train.epochs"),
        ("trian.epochs=3", "train"),
        ("loss.gama=1", "loss.gamma"),
        ("epochs=3", "train.epochs"),
    ],
)
def test_misspelt_key_names_the_nearest(override, hint):
    with pytest.raises(UserError, match=f"did you mean {hint}"):
        load("cpu", [override])


def test_input_kinds_combine_freely():
    kind = "repaired_distance+candidates+salience"
    assert load("cpu", [f"input.kind={kind}"]).input.kind == kind


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("shape+salienc", "no plane 'salienc', did you mean salience"),
        ("xyz", "no plane 'xyz'; join any of shape, grey, .* salience by \\+"),
        ("shape+", "no plane ''"),
        ("shape+edge+shape", "shape is there twice"),
        ("[shape]", "valid string"),
    ],
)
def test_a_wrong_input_kind_names_the_planes(kind, message):
    with pytest.raises(UserError, match=message) as error:
        load("cpu", [f"input.kind={kind}"])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epochs=many", "train.epochs is 'many'"),
        ("train.epochs=0", "train.epochs is 0"),
        ("input.kind=distanse", "input.kind is 'distanse'"),
        ("train.epochs", "key=value"),
        ("data.root.x=1", "no keys below"),
    ],
)
def test_wrong_values_are_one_line(override, message):
    with pytest.raises(UserError, match=message) as error:
        load("cpu", [override])
    assert "\n" not in str(error.value)


def test_unknown_recipe_names_the_nearest():
    with pytest.raises(UserError, match="did you mean paper"):
        load("papr")


def test_a_parent_has_no_parent(tmp_path):
    (tmp_path / "child.yaml").write_text("parent: paper\n")
    with pytest.raises(UserError, match="one level only"):
        load(str(tmp_path / "child.yaml"))


@pytest.mark.parametrize(
    "override",
    [
        "machine.device=cpu",
        "train.folds=[0,1]",
        "predict.tta=true",
        "postprocess.thin=true",
        "threshold_search.trials=80",
        "loss_search.trials=80",
        "data.root=/elsewhere",
    ],
)
def test_what_leaves_the_training_alone_leaves_the_run_its_name(override):
    assert load("cpu", [override]).name == "cpu"


def test_overrides_name_the_run():
    assert load("cpu", ["train.epochs=3"]).name == "cpu_train.epochs=3"
    assert load("cpu", ["train.epochs=3", "name=mine"]).name == "mine"
    long = [f"loss.{k}={0.123456789}" for k in ("dice", "focal", "gamma", "positive_weight")]
    assert len(load("cpu", long).name) < 80


def test_default_recipe_follows_data_and_gpu(tmp_path, monkeypatch):
    override = [f"data.root={tmp_path}"]
    monkeypatch.setattr("canet.core.default_recipe.REPOSITORY", tmp_path)
    assert choose()[0] == "demo"
    with pytest.raises(FileNotFoundError, match="mend the path"):
        choose(override)
    (tmp_path / "input" / "SkelNetOn" / "img_train_shape").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"add data\.root=input/SkelNetOn$"):
        choose()
    (tmp_path / "input" / "SkelNetOn" / "generated.json").touch()
    assert choose()[0] == "demo"
    (tmp_path / "img_train_shape").mkdir()
    monkeypatch.setattr("canet.core.default_recipe.listed_gpus", lambda: ())
    assert choose(override)[0] == "cpu"
    gpus = (Gpu("H100", "580.65.06", (9, 0)),)
    monkeypatch.setattr("canet.core.default_recipe.listed_gpus", lambda: gpus)
    assert choose(override)[0] == "canet"
    assert choose([*override, "machine.device=cpu"])[0] == "cpu"
    (tmp_path / "generated.json").touch()
    assert choose(override)[0] == "demo"


def test_passwords_are_not_stored():
    loaded = load("cpu", ["machine.storage=postgresql://me:secret@host/db"])
    assert "secret" not in loaded.to_yaml()


@pytest.mark.parametrize(("section", "key"), ADDED_LATER)
def test_a_later_key_is_no_other_training_where_it_changes_nothing(section, key):
    plain = load("base")
    assert plain.stored()[section][key] == ADDED_LATER[section, key]
    assert key not in plain.settings(section, "train")[section]


def test_a_later_key_is_another_training_where_it_changes_something():
    assert load("cpu", ["input.window=shape"]).settings("input")["input"]["window"] == "shape"
