"""Recipes and overrides, right and broken; no YAML runs code."""

from broken_files import DEEP, good_pngs, write
from judge import OK, run_and_judge, table
from tiny import SIZE_PX

LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}]\n" for a, b in zip("abcdefghi", "bcdefghij")
)
RECIPES = {
    "empty but for a parent": (b"parent: base\n", OK),
    "with a BOM": (b"\xef\xbb\xbfparent: base\n", OK),
    "with CRLF": (b"parent: base\r\ntrain:\r\n  epochs: 3\r\n", OK),
    "quoted": (b"{'parent': \"base\"}\n", OK),
    "empty": (b"", OK),
    "null": (b"null\n", OK),
    "a list": (b"- train\n", "expected sections with keys"),
    "a text": (b"just words\n", "expected sections with keys"),
    "a number": (b"17\n", "expected sections with keys"),
    "two documents": (b"parent: base\n---\nparent: cpu\n", "not readable as YAML"),
    "parent a list": (b"parent: [1]\n", "no recipe [1] in"),
    "parent a mapping": (b"parent: {a: b}\n", "no recipe {'a': 'b'} in"),
    "parent a number": (b"parent: 1\n", "no recipe 1 in"),
    "parent unknown": (b"parent: bass\n", "did you mean base?"),
    "parent with NUL": (b'parent: "a\\0b"\n', "no recipe a\\x00b in"),
    "parent very long": (b"parent: " + b"x" * 5000, "no recipe xxx"),
    "parent of a parent": (b"parent: cpu\n", "one level only"),
    "parent elsewhere": (b"parent: ../../etc/passwd\n", "no recipe ../../etc/passwd"),
    "key a number": (b"parent: base\n1: 2\n", "its key 1 is no text"),
    "key null": (b"parent: base\n~: 2\n", "its key None is no text"),
    "key a list": (b"parent: base\n? [a]\n: 2\n", "is no text"),
    "key doubled": (
        b"parent: base\ntrain: {epochs: 1}\ntrain: {epochs: 2}\n",
        "train is there twice",
    ),
    "key doubled below": (b"parent: base\ntrain:\n  lr: 1\n  lr: 2\n", "lr is there twice"),
    "key misspelt": (b"parent: base\ntrain: {epoch: 1}\n", "did you mean train.epochs?"),
    "section a list": (b"parent: base\ntrain: [1]\n", "train is [1]"),
    "section a number": (b"parent: base\ntrain: 7\n", "train is 7"),
    "section null": (b"parent: base\nmodel: ~\n", "model is None"),
    "a list for a number": (b"parent: base\ntrain: {epochs: [1]}\n", "train.epochs is [1]"),
    "a mapping for a number": (b"parent: base\ntrain: {lr: {a: 1}}\n", "train.lr is"),
    "a date": (b"parent: base\ntrain: {epochs: 2001-01-01}\n", "train.epochs is '2001-01-01'"),
    "a bad date": (b"parent: base\nname: 2001-99-99\n", OK),
    "infinite": (b"parent: base\ntrain: {lr: .inf}\n", "train.lr is inf"),
    "not a number": (b"parent: base\ntrain: {lr: .nan}\n", "train.lr is nan"),
    "huge": (b"parent: base\ntrain: {epochs: 1" + b"0" * 400 + b"}\n", "train.epochs is 1000"),
    "absurd": (b"parent: base\ntrain: {epochs: 1" + b"0" * 5000 + b"}\n", "not readable as YAML"),
    "negative": (b"parent: base\ntrain: {seed: -1}\n", "train.seed is -1"),
    "merged": (b"parent: base\n<<: {train: {lr: 1}}\n", "not readable as YAML"),
    "an alias": (b"parent: base\ntrain: &a {lr: 1}\nmodel: *a\n", "an alias, an anchor or a tag"),
    "an anchor": (b"parent: &a base\n", "an alias, an anchor or a tag"),
    "a thousand laughs": (LAUGHS.encode(), "an alias, an anchor or a tag"),
    "an alias of itself": (b"a: &a [*a]\n", "an alias, an anchor or a tag"),
    "a tag": (b"parent: !!str base\n", "an alias, an anchor or a tag"),
    "code": (b"name: !!python/object/apply:os.system ['touch {trace}']\n", "a tag"),
    "more code": (b"!!python/object/new:os.system ['touch {trace}']\n", "a tag"),
    "deep": (b"a: " + DEEP.encode(), "nested too deeply"),
    "deep mappings": (b"".join(b" " * i + b"a:\n" for i in range(200)), "nested too deeply"),
    "binary": (bytes(range(256)), "not readable as YAML"),
    "UTF-16": ("parent: base\n".encode("utf-16"), "not readable as YAML"),
    "NUL": (b"parent: base\n\0", "not readable as YAML"),
    "tabs": (b"train:\n\tepochs: 1\n", "not readable as YAML"),
    "open bracket": (b"train: {epochs: [1\n", "not readable as YAML"),
    "long": (b"# " + b"x" * 200_000, "it is too long"),
    "many unknown keys": (b"".join(b"k%d: 1\n" % i for i in range(3000)), "more"),
    "a very long value": (b"parent: base\nname: " + b"x" * 50_000, "name is 'xxx"),
    "a very long key": (b"parent: base\n? " + b"x" * 50_000 + b"\n: 1\n", "unknown key xxx"),
    "a PNG": (good_pngs()["grey"], "not readable as YAML"),
}


@table(RECIPES)
def test_a_recipe_is_understood_or_refused(case, data_root, tmp_path):
    content, expected = case
    trace = tmp_path / "trace"
    path = write(tmp_path / "mine.yaml", content.replace(b"{trace}", str(trace).encode()))
    own = (
        f"data.root={data_root}",
        f"data.size_px={SIZE_PX}",
        f"machine.cache={tmp_path / 'cache'}",
    )
    run_and_judge(tmp_path, expected, "mine.yaml", "check_input", "--recipe", path, "--set", *own)
    assert not trace.exists()


OVERRIDES = {
    "nothing": ("", "is no override"),
    "no value": ("train.epochs", "is no override"),
    "no key": ("=3", "is no override"),
    "dots": ("..=3", "unknown key"),
    "an empty section": (".epochs=3", "unknown key"),
    "below the name": ("name.x=3", "name is a value and has no keys below it"),
    "below a value": ("train.lr.x=3", "lr is a value and has no keys below it"),
    "name empty": ("name=", OK),
    "name of spaces": ("name='  '", "name is '  '"),
    "name with a slash": ("name=a/b", "name is 'a/b'"),
    "name upwards": ("name=..", "name is '..'"),
    "name far upwards": ("name=../../x", "name is '../../x'"),
    "name absolute": ("name=/tmp/x", "name is '/tmp/x'"),
    "name backwards": (r"name=..\x", "name is"),
    "name hidden": ("name=.x", "name is '.x'"),
    "name an option": ("name=-x", "name is '-x'"),
    "name with a query": ("name=a?b", "name is 'a?b'"),
    "name with a line end": (r'name="a\nb"', r"name is 'a\nb'"),
    "name of 300": ("name=" + "x" * 300, "name is 'xxx"),
    "name a list": ("name=[a, b]", "name is"),
    "name a mapping": ("name={a: b}", "name is"),
    "name in Greek": ("name=σκελετός 2", OK),
    "encoder from a hub": ("model.encoder=tu-hf_hub:someone/something", "model.encoder is"),
    "encoder from a folder": ("model.encoder=tu-local-dir:/tmp/x", "model.encoder is"),
    "encoder of giants": ("model.encoder=resblock999999", "model.encoder is"),
    "blocks without end": ("model.blocks=1000000", "model.blocks is"),
    "open list": ("train.folds=[0", "not readable as YAML"),
    "an alias": ("train.folds=*a", "an alias, an anchor or a tag"),
    "code": ("name=!!python/object/apply:os.getcwd []", "an alias, an anchor or a tag"),
    "deep": (f"train.folds={DEEP}", "nested too deeply"),
    "infinite": ("train.lr=.inf", "train.lr is inf"),
    "a text with NUL": (r'data.train_shapes="a\0b"', "data.train_shapes is"),
    "a megabyte": ("train.lr=" + "9" * 120_000, "it is too long"),
    "a kind of nothing": ("input.kind=", "input.kind is"),
}


@table(OVERRIDES)
def test_an_override_is_understood_or_refused(case, data_root, tmp_path):
    override, expected = case
    own = [f"data.root={data_root}", f"data.size_px={SIZE_PX}"]
    own += [f"machine.cache={tmp_path / 'cache'}", override]
    run_and_judge(tmp_path, expected, "", "check_input", "--recipe", "demo", "--set", *own)
