import sys

import pytest

from canet.core import cli


@pytest.mark.parametrize(
    ("words", "but"), [([], ""), (["--force"], ", a training without --force")]
)
def test_what_was_stopped_says_how_it_continues(monkeypatch, words, but):
    def stop() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys, "argv", ["train.py", *words])
    monkeypatch.setattr(cli.signal, "signal", lambda *_: None)
    monkeypatch.setattr(cli.threading, "excepthook", None)
    with pytest.raises(SystemExit, match=f"^\nstopped; .* continues from what is written{but}$"):
        cli.run(stop)
