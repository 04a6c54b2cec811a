"""A queue of rows is its state, and the state is a copy."""

import numpy as np

from replay.pending import PendingRows, Row
from tests.conformance.alike import assert_alike, difference, through_a_file
from tests.replay.streams import Stream


def test_a_queue_of_rows_is_its_state_and_the_state_is_a_copy() -> None:
    stream = Stream(0, 2, fill="noise")
    steps = [stream.step()[2] for _ in range(5)]
    rows = [Row(t, steps[t], np.arange(2) + t, steps[t + 1]) for t in range(4)]
    queue, other = PendingRows(), PendingRows()
    for row in rows:
        queue.append(row)
    other.append(rows[3])
    state = queue.state_dict()
    kept = through_a_file(state)
    assert_alike(state, kept)
    other.load_state_dict(kept)  # what was there before is gone
    assert_alike([other.pop() for _ in range(len(other))], rows)
    assert_alike(queue.pop(), rows[0])
    rows[1].after.observation[:] = 99
    rows[2].action[:] = 17
    assert_alike(state, kept)
    assert difference(queue.state_dict(), state)
