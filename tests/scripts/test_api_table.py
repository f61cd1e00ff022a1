from scripts.api_table import MARK, PAGE, tables


def test_page_says_what_the_code_does() -> None:
    """`make docs` brings it up to date."""
    assert PAGE.read_text(encoding="utf-8").partition(MARK)[2] == tables()
