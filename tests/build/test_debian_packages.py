import pytest

from build.debian_packages import mirrors_of, options_of

LISTING = """\
'http://deb.example/debian/dists/bookworm/InRelease' deb.example_debian_dists_bookworm_InRelease 0
'http://deb.example/debian/dists/bookworm-updates/InRelease' deb.example_bookworm-updates_InRelease 0
'https://apt.example/docker/dists/bookworm/InRelease' apt.example_docker_dists_bookworm_InRelease 0
'http://deb.example/debian/dists/bookworm/main/binary-amd64/Packages.xz' deb.example_debian_Packages 0
"""


def test_mirrors_are_those_of_the_release_itself() -> None:
    assert mirrors_of(LISTING, "bookworm") == ["http://deb.example/debian", "https://apt.example/docker"]


def test_a_release_may_be_named_by_its_role() -> None:
    assert mirrors_of("'http://deb.example/debian/dists/stable/InRelease' x 0", "bookworm") == [
        "http://deb.example/debian"
    ]


@pytest.mark.parametrize("listing", ["", "E: nothing\n", LISTING.replace("bookworm", "jammy")])
def test_no_mirror(listing: str) -> None:
    assert mirrors_of(listing, "bookworm") == []


def test_options() -> None:
    assert options_of({"Dir::State": "/s", "Acquire::Languages": "none"}) == [
        "-o",
        "Dir::State=/s",
        "-o",
        "Acquire::Languages=none",
    ]
