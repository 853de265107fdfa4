from canet.data.training_set import TrainingSet
from canet.tables import plan
from canet.tables.plan import Training
from canet.tables.train import measure_speed, train_and_judge


def test_figures_are_those_of_what_was_trained_and_how_it_was_judged(tiny, tiny_folds, monkeypatch):
    one = {"epochs": 1}
    recipe = tiny.model_copy(update={"train": tiny.train.model_copy(update=one)})
    training = Training(recipe, 0, TrainingSet(recipe))
    assert training.scores() is training.speed() is None
    train_and_judge(recipe, 0)
    scores = training.scores()
    assert 0 <= scores["f1"] <= 1 and scores["parameters"] > 1000
    assert training.speed() is None
    measure_speed(recipe, 0)
    assert training.speed()["images_per_s"] > 0
    thinned = recipe.postprocess.model_copy(update={"thin": True})
    for other in ({"postprocess": thinned}, {"train": tiny.train}):
        changed = recipe.model_copy(update=other)
        assert Training(changed, 0, training.images).scores() is None
    batch = recipe.predict.model_copy(update={"batch": 2 * recipe.predict.batch})
    larger = Training(recipe.model_copy(update={"predict": batch}), 0, training.images)
    assert larger.scores() == scores and larger.speed() is None  # another rate, the same figures
    monkeypatch.setattr(plan, "code_digest", lambda *modules: "judged otherwise now")
    assert training.scores() is None and training.speed()
