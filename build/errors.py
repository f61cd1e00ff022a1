"""The one exception that ends a build with a sentence for the user."""


class BuildError(Exception):
    """Says in one sentence what is wrong and what would be right."""
