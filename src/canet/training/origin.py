"""Where a network comes from: told of every process that has trained it, not of the last alone."""

from collections.abc import Sequence

from canet.core.provenance import code_digest, commit, versions

# what is told of each process, as it is kept in checkpoints
ORIGIN = {"commit": str, "code": str, "device": str, "precision": str, "versions": dict}


def training_code() -> str:
    """A digest of the code that trains; how things are said and kept, `canet.core`, is not."""
    return code_digest("canet.training.trainer", core=False)


def origin(device: str, precision: str) -> dict:
    """What is told of this process, see `ORIGIN`; the device in words."""
    told = {"commit": commit(), "code": training_code(), "versions": versions()}
    return told | {"device": device, "precision": precision}


def joined(origins: Sequence[dict]) -> dict:
    """What is told of all processes, each value once, in their order: `"; "` between them."""
    texts = [key for key, kind in ORIGIN.items() if kind is str]
    told = {key: _each_once([of[key] for of in origins]) for key in texts}
    packages = dict.fromkeys(name for of in origins for name in of["versions"])
    return told | {
        "versions": {
            name: _each_once([of["versions"][name] for of in origins if name in of["versions"]])
            for name in packages
        }
    }


def _each_once(values: list[str]) -> str:
    return "; ".join(dict.fromkeys(values))
