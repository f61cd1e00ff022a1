import pytest

from frontend.addresses import Target, parse_target


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("a:1", Target("a", 1)),
        ("10.0.0.1:65535", Target("10.0.0.1", 65535)),
        ("[::1]:8001", Target("::1", 8001)),
        ("dns:///a:1", Target("a", 1)),
        ("dns:a:1", Target("a", 1)),
        ("ipv4:10.0.0.7:8001", Target("10.0.0.7", 8001)),
        ("ipv6:[::1]:8001", Target("::1", 8001)),
        ("unix:/run/a.sock", Target(path="/run/a.sock")),
        ("unix:///run/a.sock", Target(path="/run/a.sock")),
    ],
)
def test_targets(text: str, target: Target) -> None:
    assert parse_target(text) == target


@pytest.mark.parametrize(
    "text", ["", "a", "a:0", "a:65536", "a:b", "::1:8001", "http://a:1", "a b:1", "xds:///a:1", "unix:run/a"]
)
def test_others(text: str) -> None:
    assert parse_target(text) is None
