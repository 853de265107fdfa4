"""The page about a run, on probabilities made by hand: nothing is trained."""

import itertools
import shlex
import shutil
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest
from tiny import tiny_overrides

from canet.core.console import UserError
from canet.core.files import read_json, write_json, write_text
from canet.core.images import write_png
from canet.core.recipe import Recipe
from canet.core.recipe_files import load as load_recipe
from canet.data import demo
from canet.data.data_set import read_skeleton
from canet.data.folds import assign_folds, write_folds
from canet.data.training_set import TrainingSet
from canet.evaluation.score_tables import read_table
from canet.geometry.metrics import quantize
from canet.report import facts
from canet.report.content import commands_of, contents_of
from canet.report.facts import Facts, gather, recipe_of
from canet.report.held_out import held_out_of
from canet.report.page import render, write_report
from canet.report.plots import f1_histogram
from canet.report.tiles import Window, extremes
from canet.search.study import open_search
from canet.search.threshold import search_threshold
from canet.selection.train import train_selection

NASTY = '<b>&"c-1.png'
VOID = {"meta", "img", "br", "hr", "link", "input"}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Data and runs: `net`, two folds, a loss search and a threshold, and `forest`."""
    home = tmp_path_factory.mktemp("report")
    for i in range(8):
        name, shape, skeleton = demo.example(4, i)
        shape[tuple(np.argwhere(shape == 255)[500])] = 0  # a hole
        for folder, image in (("img_train_shape", shape), ("img_train2", skeleton * np.uint8(255))):
            write_png(home / "data" / folder / (name if i else NASTY), image)
    net = load(home, "demo", "net", "postprocess.components=one")
    images = TrainingSet(net)
    table = assign_folds(images.data.train_shapes, net.folds)
    write_folds(images.folds_path, table)
    for k in range(2):
        pretend_training(net, k, table["image"][table["fold"] == k].tolist())
    with open_search(net, "loss", seed=0) as search:
        search.run(lambda t: t.suggest_float("dice", 0, 1) / 2, total=6, starts=[], label="loss")
        write_json(net.run_folder / "fold-0/tuned_loss.json", {"study": search.study.study_name})
    search_threshold(net, trials=4)
    write_text(net.run_folder / "recipe.yaml", net.to_yaml())
    forest = load(home, "geometry", "forest", "selection.trees=10", "selection.trials=2")
    train_selection(forest)
    write_text(forest.run_folder / "recipe.yaml", forest.to_yaml())
    return home


def load(home: Path, method: str, name: str, *more: str) -> Recipe:
    own = [o for o in tiny_overrides(home / "data", home) if not o.startswith("name=")]
    return load_recipe(method, [*own, f"name={name}", "folds.count=2", *more])


def pretend_training(net: Recipe, fold: int, names: list[str]) -> None:
    """What a training leaves, its probabilities being blurred and noisy labels."""
    folder, rng = net.run_folder / f"fold-{fold}", np.random.default_rng(fold)
    labels = [read_skeleton(net.data_root / "img_train2" / n).astype(np.float32) for n in names]
    soft = [cv2.GaussianBlur(x, (0, 0), 1) * rng.uniform(0.6, 1, x.shape) for x in labels]
    stored = {"names": np.array(names), "levels": np.stack([quantize(p) for p in soft])}
    (folder / "model").mkdir(parents=True)
    np.savez(folder / "held_out.npz", **stored)
    rows = {"epoch": [1, 2], "loss": [2.0, 1.0], "lr": 0.1, "f1": [np.nan, 0.5]}
    pd.DataFrame(rows).to_csv(folder / "metrics.csv", index=False)
    told = {"recipe": net.stored(), "device": "a <device>", "training_s": 3900}
    write_json(folder / "model" / "training.json", told)
    write_json(folder / "done.json", {"identity": str(fold), "finished_at": "now"})


class Page(HTMLParser):
    """What a page holds; fails where tags do not match."""

    def __init__(self, text: str):
        super().__init__()
        self.open, self.tags, self.texts = [], [], {}
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and data.strip():
            self.texts.setdefault(self.open[-1], []).append(" ".join(data.split()))

    def all(self, tag: str) -> list[dict]:
        return [attrs for name, attrs in self.tags if name == tag]


def report(run: Path) -> Page:
    path = write_report(run, contents_of(gather(recipe_of(run))))
    return Page(path.read_text())


@pytest.fixture
def home(made, tmp_path) -> Path:
    """A copy to change; the data stay where they are."""
    shutil.copytree(made / "runs", tmp_path / "runs")
    return tmp_path / "runs"


@pytest.fixture(scope="module")
def page(made) -> Page:
    return report(made / "runs" / "net")


def test_the_figures_are_those_of_the_search(page, made):
    run = made / "runs" / "net"
    tuned, scores = read_json(run / "threshold.json"), read_table(run / "scores.csv", "f1")
    assert page.texts["strong"] == [f"{tuned['f1_cross_fitted']:.4f}"]
    cells, methods = page.texts["td"], page.texts["th"]
    assert {"net, cross-fitted", "net, at its threshold", "fold 0, 4 images"} <= set(methods)
    for method in ("network", "network_plain"):
        assert f"{scores.loc[method, 'f1']:.4f}" in cells
        assert f"{scores.loc[method, 'pooled_f1']:.4f}" in cells
    assert f"{tuned['threshold']:.3f}" in cells
    assert "1 h 05 min" in page.texts["dd"] and "a <device>" in page.texts["dd"]


def test_the_page_needs_nothing_but_itself(page, made):
    for tag, attrs in page.tags:
        assert tag not in ("script", "link", "iframe", "object", "base")
        for key in ("src", "href", "srcset", "style", "background"):
            value = attrs.get(key) or ""
            assert "//" not in value.partition(";base64,")[0] and "url(" not in value
    assert all(attrs["src"].startswith("data:image/") for attrs in page.all("img"))
    assert all(attrs["href"].startswith("#") for attrs in page.all("a"))
    style = "".join(page.texts["style"])
    assert "url(" not in style and "@import" not in style
    files = list((made / "runs" / "net" / "report").iterdir())
    assert len(files) == len(page.all("img")) and {p.suffix for p in files} == {".svg", ".png"}


def test_the_page_is_accessible(page):
    assert page.all("html")[0]["lang"] == "en"
    assert all(attrs["alt"] for attrs in page.all("img"))
    assert all(attrs.get("scope") in ("row", "col") for attrs in page.all("th"))
    levels = [int(tag[1]) for tag, _ in page.tags if tag in ("h1", "h2", "h3", "h4")]
    assert levels.count(1) == 1 and all(b - a <= 1 for a, b in itertools.pairwise(levels))
    ids = {attrs["id"] for _, attrs in page.tags if "id" in attrs}
    pointed_at = {a["href"][1:] for a in page.all("a")}
    pointed_at |= {a["aria-labelledby"] for _, a in page.tags if "aria-labelledby" in a}
    assert pointed_at == ids


def test_commands_are_for_where_the_run_lies(made):
    net = recipe_of(made / "runs" / "net")
    again, page = commands_of(net)
    home = str(made / "runs")
    assert shlex.split(again) == [
        "bash",
        "run.sh",
        f"{home}/net/recipe.yaml",
        f"machine.runs={home}",
    ]
    assert shlex.split(page) == ["python", "src/report.py", "--run", f"{home}/net"]
    known = load_recipe("cpu")
    assert commands_of(known) == ["bash run.sh cpu", "python src/report.py --run cpu"]
    other = known.model_copy(update={"name": "cpu_train.epochs=10"})
    assert commands_of(other)[0] == "bash run.sh runs/cpu_train.epochs=10/recipe.yaml"


@pytest.mark.parametrize("lowest", [0.0, 0.07, 0.55, 0.97, 1.0])
def test_every_image_is_in_the_histogram(lowest):
    f1 = np.concatenate([[lowest], np.linspace(0.98, 1, 40)])
    figure = f1_histogram([SimpleNamespace(f1=x) for x in f1])
    assert sum(bar.get_height() for bar in figure.axes[0].patches) == 41


def test_names_are_escaped(page):
    assert not page.all("b")
    assert NASTY in page.texts["h4"]
    assert {f"{NASTY}: errors", f"{NASTY}: shape"} <= {a["alt"] for a in page.all("img")}


def test_all_parts_are_there(page):
    assert page.texts["h2"] == [
        "Results", "Training", "F1 of the images", "Worst and best images", "Broken lines",
        "Classes", "Distance maps before and after the repair of holes", "Searches",
        "How to reproduce it",
    ]  # fmt: skip
    kinds = {"Importance of the parameters, loss weights, fold 0", "per-image F1 over epochs"}
    assert kinds <= {attrs["alt"] for attrs in page.all("img")}


def test_classical_rows_are_means_over_images(home, monkeypatch):
    asked = []

    def held_out_table(of: Recipe, fold: int) -> pd.DataFrame:
        asked.append((of.name, fold))
        row = {"method": "lee", "f1": [0.25, 0.75][fold], "pooled_f1": 0.5, "f1_within_1px": 0.5}
        return pd.DataFrame([row | {"one_component": 1.0, "ms_per_image": 3.0}])

    monkeypatch.setattr(facts, "held_out_table", held_out_table)
    net = recipe_of(home / "net")
    judged = SimpleNamespace(folds=["0", "0", "0", "1"])
    table = facts.classical_scores(net, judged)
    assert asked == [("net", 0), ("net", 1)]
    assert table.loc["lee"].tolist() == [0.375, 0.5, 0.5, 1, 3]
    assert "ms an image" in report(home / "net").texts["th"]


def test_what_a_run_does_not_have_is_not_shown(home):
    (home / "net" / "optuna.db").unlink()
    without = report(home / "net")
    assert "Searches" not in without.texts["h2"] and "Results" in without.texts["h2"]
    (home / "net" / "threshold.json").unlink()
    unjudged = report(home / "net")
    assert unjudged.texts["h2"] == ["Training", "How to reproduce it"]
    assert "strong" not in unjudged.texts
    with pytest.raises(UserError, match=r"keeps no recipe\.yaml"):
        recipe_of(home)


def test_a_page_about_geometry(made, home):
    chosen = read_json(home / "forest" / "selection.json")
    page = report(home / "forest")
    assert page.texts["strong"] == [f"{chosen['f1_cross_fitted']:.4f}"]
    assert "Candidates" in page.texts["h2"] and "Training" not in page.texts["h2"]
    assert {"closed_1.05", "fold 1, 4 images"} <= set(page.texts["th"])
    assert "threshold" not in page.texts["th"]
    assert not any("network input" in attrs["alt"] for attrs in page.all("img"))


def test_figures_of_other_data_are_refused(home):
    path = home / "net" / "threshold.json"
    kept = read_json(path)
    write_json(path, kept | {"f1": kept["f1"] + 0.001})
    with pytest.raises(UserError, match="has the data changed"):
        report(home / "net")
    write_json(path, kept | {"trained": {"0": "0"}})
    with pytest.raises(UserError, match="of other folds"):
        report(home / "net")


def test_figures_are_of_the_views_that_the_threshold_is_for(home):
    for path in (home / "net").glob("fold-*/held_out.npz"):
        with np.load(path) as stored:
            arrays = dict(stored)
        np.savez(path, **arrays, levels_tta=np.zeros_like(arrays["levels"]))
    recipe = recipe_of(home / "net")
    views = recipe.predict.model_copy(update={"tta": True})  # the training's last word
    assert gather(recipe.model_copy(update={"predict": views})).held_out.scores


def test_a_forest_of_other_data_is_refused(made, home):
    shutil.copytree(made / "data", home.parent / "data")
    path, run = home / "forest" / "recipe.yaml", home / "forest"
    path.write_text(path.read_text().replace(str(made / "data"), str(home.parent / "data")))
    assert held_out_of(recipe_of(run))
    label = next((home.parent / "data" / "img_train2").iterdir())
    write_png(label, np.zeros((256, 256), np.uint8))
    with pytest.raises(UserError, match=r"selection\.json: of other images .* in .*/data now"):
        held_out_of(recipe_of(run))
    kept = read_json(run / "selection.json")
    kept.pop("data")  # as before there was a digest
    write_json(run / "selection.json", kept)
    assert held_out_of(recipe_of(run))


@pytest.mark.parametrize(
    ("architecture", "told"),
    [("canet", "Context Attention Network (CANet), resblock4"), ("unet", "The network unet, res")],
)
def test_the_page_names_the_architecture(made, architecture, told):
    net = recipe_of(made / "runs" / "net")
    model = net.model.model_copy(update={"architecture": architecture})
    content = contents_of(Facts(net.model_copy(update={"model": model}), [], None, [], None))
    assert told in " ".join(render(content).split())


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("net/fold-0/metrics.csv", "epoch,loss\n1,2\n"),
        ("net/fold-0/metrics.csv", "epoch,loss,lr,f1\n1,<b>,1,1\n"),
        ("net/threshold.json", "{}"),
        ("net/sweep.csv", b"\xff\0"),
        ("net/sweep.csv", None),
        ("forest/scores.csv", ""),
        ("forest/out_of_fold.csv", "image,taken\nx.png,closed_2\n"),
        ("forest/recipe.yaml", "train: 1"),
    ],
)
def test_damage_is_one_line(file, content, home):
    path = home / file
    path.unlink()
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=path.name):
        report(home / path.relative_to(home).parts[0])


def test_damage_to_what_is_only_told_costs_that_line(home):
    path = home / "net/fold-0/model/training.json"
    write_json(path, read_json(path) | {"training_s": "<b>", "versions": 3, "device": None})
    assert "1 h 05 min" in report(home / "net").texts["dd"]  # of fold 1
    (home / "net/optuna.db").write_bytes(b"no database")
    assert "Searches" not in report(home / "net").texts["h2"]


def test_a_page_is_whole_or_the_one_before(made, home, monkeypatch):
    run = home / "net"
    content = contents_of(gather(recipe_of(run)))
    before = write_report(run, content).read_bytes()
    assert write_report(run, content).read_bytes() == before
    write = Path.write_text

    def half(path: Path, text: str, **options) -> None:
        write(path, text[: len(text) // 2], **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_text", half)
    with pytest.raises(KeyboardInterrupt):
        write_report(run, content | {"name": "another"})
    assert (run / "report.html").read_bytes() == before
    assert not list(run.glob(".*.tmp"))


def test_worst_and_best_do_not_overlap():
    assert extremes([0.5, 0.1, 0.9, 0.3], 2) == ([1, 3], [2, 0])
    assert extremes([0.5, 0.1, 0.9], 6) == ([1, 0], [2])
    assert extremes([0.5], 6) == ([0], [])


def test_a_window_holds_the_shape_and_is_black_beyond_the_image():
    mask = np.zeros((40, 60), bool)
    mask[0:4, 10:50] = True  # 40 wide, at the upper border
    window = Window.around(mask)
    assert (window.height, window.width) == (26, 52)
    seen = window.cut(mask * np.uint8(255))
    assert seen.shape == (26, 52) and (seen > 0).sum() == mask.sum()
    assert not seen[: -window.top].any() and (seen[-window.top, 6:46] == 255).all()
