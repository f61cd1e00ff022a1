"""Conversations of one question each: fixed, all different from their first word on."""

import random

# Of a long question; with the chat template it is about a thousand tokens, a short one about 150.
NUM_SENTENCES = {"short": 6, "long": 56}

_PEOPLE = [
    "the harbour master",
    "a retired teacher",
    "two engineers",
    "the youngest gardener",
    "our neighbour",
    "a visiting doctor",
    "the night porter",
    "a travelling cellist",
    "the baker's son",
    "an old fisherman",
    "the new librarian",
    "a shy cartographer",
]
_DEEDS = [
    "repaired",
    "counted",
    "forgot",
    "painted",
    "sold",
    "photographed",
    "described",
    "borrowed",
    "weighed",
    "hid",
    "measured",
    "returned",
]
_THINGS = [
    "a brass telescope",
    "thirty wooden crates",
    "the broken clock",
    "a letter without a stamp",
    "seven jars of honey",
    "an unfinished map",
    "the green bicycle",
    "a box of lenses",
    "the ferry's anchor",
    "a sack of lentils",
    "four lanterns",
    "a violin case",
]
_PLACES = [
    "behind the station",
    "on the northern pier",
    "in the flooded cellar",
    "near the observatory",
    "under the stone bridge",
    "at the edge of the market",
    "beside the old mill",
    "in the greenhouse",
    "above the pharmacy",
    "along the canal",
]
_TIMES = [
    "before sunrise",
    "during the storm",
    "on the last day of March",
    "after the concert",
    "at low tide",
    "in the first frost",
    "while the others slept",
    "shortly after noon",
    "at the end of a dry summer",
    "on a Tuesday",
]
_QUESTIONS = (
    "What would you ask them first, and why?",
    "Explain how these events may hang together.",
    "Write the beginning of a story out of this.",
    "Which of these facts matters most? Give your reasons.",
    "Describe what happened next in plain words.",
)


def question(kind: str, number: int) -> str:
    """The question of that number, "short" or "long"; the same on every machine."""
    numbers = random.Random(f"{kind} {number}")  # noqa: S311 - not a secret
    sentences = [f"Case {numbers.randrange(10_000)}."]
    for _ in range(NUM_SENTENCES[kind]):
        parts = [numbers.choice(words) for words in (_PEOPLE, _DEEDS, _THINGS, _PLACES, _TIMES)]
        sentences.append(f"{' '.join(parts).capitalize()}.")
    return " ".join([*sentences, numbers.choice(_QUESTIONS)])
