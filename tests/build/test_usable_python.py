import os

from build import usable_python


def test_the_python_of_the_tests_is_usable() -> None:
    assert usable_python.refusal() is None


def test_the_shared_library_is_that_of_this_version() -> None:
    assert os.path.basename(usable_python.shared_library()).startswith("libpython3.")
