"""Tables of folds, right and broken."""

from broken_files import good_pngs
from judge import OK, run_and_judge, table

from canet.data.training_set import TrainingSet

FOLDS = {
    "right": (lambda t: t, OK),
    "with a BOM": (lambda t: b"\xef\xbb\xbf" + t, OK),
    "with CRLF": (lambda t: t.replace(b"\n", b"\r\n"), OK),
    "quoted": (lambda t: b'"image"' + t[5:], OK),
    "no last line end": (lambda t: t.rstrip(b"\n"), OK),
    "empty": (lambda t: b"", "damaged"),
    "one line end": (lambda t: b"\n", "damaged"),
    "header alone": (lambda t: t.split(b"\n")[0] + b"\n", "15 images of the data set are missing"),
    "a row missing": (lambda t: b"\n".join(t.split(b"\n")[:-2]), "1 images of the data set"),
    "a row doubled": (lambda t: t + t.split(b"\n")[1] + b"\n", "listed more than once"),
    "a row unknown": (lambda t: t + b"x-1.png,x,99,0\n", "1 are not in it (x-1.png)"),
    "a row cut": (lambda t: t[:-4], "damaged"),
    "no fold": (lambda t: t.rstrip(b"\n")[:-1] + b"\n", "damaged"),
    "NaN": (lambda t: t.rstrip(b"\n")[:-1] + b"nan\n", "damaged"),
    "half a fold": (lambda t: t.rstrip(b"\n") + b".5\n", "damaged"),
    "text": (lambda t: t.rstrip(b"\n")[:-1] + b"two\n", "damaged"),
    "huge": (lambda t: t.rstrip(b"\n") + b"9" * 30 + b"\n", "damaged"),
    "fold 9": (lambda t: t.rstrip(b"\n")[:-1] + b"9\n", "expected 0 to 2"),
    "fold -1": (lambda t: t.rstrip(b"\n")[:-1] + b"-1\n", "expected 0 to 2"),
    "a column more": (lambda t: t.replace(b"\n", b",1\n"), "columns"),
    "a column less": (
        lambda t: b"\n".join(li.rpartition(b",")[0] for li in t.split(b"\n")),
        "columns",
    ),
    "other columns": (lambda t: t.replace(b"group", b"Group"), "columns"),
    "more fields in a row": (lambda t: t + b"a,b,1,2,3,4,5\n", "damaged"),
    "semicolons": (lambda t: t.replace(b",", b";"), "columns"),
    "binary": (lambda t: bytes(range(256)) * 9, "damaged"),
    "NUL": (lambda t: t[:60] + b"\0" + t[60:], "damaged"),
    "UTF-16": (lambda t: t.decode().encode("utf-16"), "damaged"),
    "Latin-1": (lambda t: t + b"caf\xe9-1.png,x,1,0\n", "damaged"),
    "a huge field": (lambda t: t + b"a" * 10**6 + b"-1.png,x,99,0\n", "1 are not in it"),
    "an open quote": (lambda t: t + b'"', "damaged"),
    "line feeds in a name": (lambda t: t + b'"a\n\nb.png",x,99,0\n', r"a\n\nb.png"),
    "a PNG": (lambda t: good_pngs()["grey"], "damaged"),
}


@table(FOLDS)
def test_folds_are_right_or_refused(case, tiny, tiny_folds, overrides, tmp_path):
    change, expected = case
    path = TrainingSet(tiny).folds_path
    path.write_bytes(change(path.read_bytes()))
    words = ("--recipe", "demo", "--set", *overrides)
    run_and_judge(tmp_path, expected, path.name, "make_folds", *words)
