from frontend.api.completions.response import best_of
from frontend.generation.delta import Delta, Token


def candidate(index: int, *logprobs: float) -> list[Delta]:
    tokens = tuple(Token(b"x", logprob) for logprob in logprobs)
    return [Delta(index, "x", tokens, num_prompt_tokens=1, num_completion_tokens=len(tokens))]


def test_the_likeliest_per_token_come_first() -> None:
    long, short, unlikely = candidate(0, -0.5, -0.1, -0.3), candidate(1, -0.2), candidate(2, -3.0)
    assert best_of([unlikely, long, short], 2) == [short, long]


def test_all_are_kept_in_their_order() -> None:
    candidates = [candidate(0, -3.0), candidate(1, -0.1)]
    assert best_of(candidates, 2) == candidates
