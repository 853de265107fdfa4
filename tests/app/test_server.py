"""Which requests are the page's own; no server is started."""

import pytest

from canet.app.server import MOST_BODY, _refused

OWN = {"host": "127.0.0.1:7860"}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (OWN, None),
        ({"host": "localhost:7860"}, None),
        (OWN | {"origin": "http://127.0.0.1:7860"}, None),
        (OWN | {"origin": "http://127.0.0.1:7861"}, 403),
        (OWN | {"origin": "http://localhost:7860"}, 403),
        (OWN | {"origin": "https://127.0.0.1:7860"}, 403),
        (OWN | {"origin": "null"}, 403),
        ({}, 421),
        ({"host": ""}, 421),
        ({"host": "127.0.0.1.evil.example"}, 421),
        ({"host": "127.0.0.1.evil.example:7860"}, 421),
        ({"host": "evil.example", "origin": "http://evil.example"}, 421),
        (OWN | {"content-length": str(MOST_BODY)}, None),
        (OWN | {"content-length": str(MOST_BODY + 1)}, 413),
        (OWN | {"content-length": "-1"}, 413),
        (OWN | {"content-length": "²"}, 413),
    ],
)
def test_only_the_pages_own_requests_are_answered(method, headers, status):
    told = [(name.title().encode(), value.encode("latin-1")) for name, value in headers.items()]
    assert _refused({"type": "http", "method": method, "path": "/", "headers": told}) == status
