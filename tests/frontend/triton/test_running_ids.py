import uuid

from frontend.triton.running_ids import NUM_SLOTS, RunningIds, new_memory


def test_a_successor_finds_what_was_left_once() -> None:
    memory = new_memory()
    ids = [uuid.uuid4().hex for _ in range(5)]
    worker, other = RunningIds(memory, 3), RunningIds(memory, 4)
    for request_id in ids:
        worker.add(request_id)
    other.add("other")
    worker.remove(ids[1])
    assert sorted(RunningIds(memory, 3).take_over()) == sorted([ids[0], *ids[2:]])
    assert RunningIds(memory, 3).take_over() == []
    assert RunningIds(memory, 4).take_over() == ["other"]


def test_more_than_there_is_room_for_are_not_kept() -> None:
    memory = new_memory()
    worker = RunningIds(memory)
    for number in range(NUM_SLOTS + 3):
        worker.add(f"{number:x}")
    worker.remove("0")
    worker.remove("never added")
    worker.add("last")
    left = RunningIds(memory).take_over()
    assert len(left) == NUM_SLOTS
    assert "last" in left
