from scripts.bench.parts.token_cost import measure_recording


def test_one_row_with_its_spread() -> None:
    (row,) = measure_recording(num_tokens=100)
    assert 0 < row.least <= row.median <= row.most
