"""How many examples a generated test gets: few in `make test`, many under the profile of `make soak`."""

from typing import Any

from hypothesis import HealthCheck, settings

# What hypothesis gives a test that says nothing.
USUAL_EXAMPLES = 100
# A pass of the text properties takes about a minute then; make soak makes as many as it has time for.
SOAK_FACTOR = 3


def register_profiles() -> None:
    """The usual one, which times nothing, and that of `pytest --hypothesis-profile=soak`.

    The latter's examples are new ones each time.
    """
    settings.register_profile("usual", deadline=None)
    settings.load_profile("usual")
    num_examples = SOAK_FACTOR * USUAL_EXAMPLES
    settings.register_profile("soak", max_examples=num_examples, deadline=None, database=None)


def examples(num_examples: int, repeats: bool = False, **others: Any) -> settings:
    """So many, times the factor of the loaded profile; `repeats`: the same in each run of `make test`."""
    factor = settings.default.max_examples // USUAL_EXAMPLES
    return settings(
        max_examples=num_examples * factor,
        deadline=None,
        derandomize=repeats and factor == 1,
        # Fixtures serve all examples, and some of those take long to make.
        suppress_health_check=list(HealthCheck),
        **others,
    )
