"""What is kept of tasks that were left: which states, of whom, and what is drawn of it."""

import pytest
import torch

from agent.recall import HELD_OUT, Recall, recall_loss
from configs.checks import ConfigError, check
from configs.schema import Config, ConsolidationConfig

SHAPE = (2, 5, 4)


def observations(seed, count=7):
    return torch.randint(256, (count, *SHAPE), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def values_of(observation, task):
    """A function of every pixel and of the task."""
    flat = observation.flatten(1).double()
    weights = torch.linspace(-1, 1, flat.shape[1] * 3, dtype=torch.float64).view(-1, 3)
    return (flat @ weights + task).float()


def left(recall, *tasks):
    for task in tasks:
        seen = [observations(task), observations(100 + task), observations(200 + task)]
        recall.leave(task, recall.measure(task, seen, values_of))
    return recall


def test_so_many_of_the_first_states_are_kept_with_their_values_then():
    recall = left(Recall(16, 200, 1.0), 3)
    known = torch.cat([observations(3), observations(103), observations(203)])[:16]
    drawn = recall.draw(0)
    assert drawn.task == 3 and drawn.observation.shape == (200, *SHAPE)
    places = [int((known == each).flatten(1).all(1).nonzero()) for each in drawn.observation]
    assert set(places) == set(range(2, 16))  # an eighth is held out
    assert torch.equal(drawn.values, values_of(known, 3)[places])


def test_the_others_take_turns_and_the_task_on_screen_is_left_out():
    recall = left(Recall(16, 4, 1.0), 0, 1, 2)
    assert [recall.draw(1).task for _ in range(6)] == [0, 2, 0, 2, 0, 2]
    assert recall.draw(5).task == 0


@pytest.mark.parametrize("recall", [Recall(0, 4, 1.0), Recall(16, 4, 0.0)])
def test_nothing_is_recalled_where_nothing_is_asked_for(recall):
    assert left(recall, 0, 1).draw(2) is None


def test_alone_there_is_nothing_to_recall():
    assert left(Recall(16, 4, 1.0), 2).draw(2) is None


def test_a_task_that_is_left_again_keeps_the_new_states_only():
    recall = left(Recall(14, 200, 1.0), 0)
    again = [observations(50), observations(51)]
    recall.leave(0, recall.measure(0, again, lambda seen, task: values_of(seen, 9)))
    drawn, known = recall.draw(1), torch.cat([observations(50), observations(51)])
    assert all((known == each).flatten(1).all(1).any() for each in drawn.observation)
    assert torch.equal(drawn.values, values_of(drawn.observation, 9))


def test_agreement_is_the_share_of_greedy_actions_that_are_the_same():
    recall = left(Recall(16, 4, 1.0), 0, 1)

    def changed(observation, task):
        values = values_of(observation, task)
        if task == 1:
            values[0] = -values[0]
        return values

    assert recall.agreements(9, values_of) == {0: 1.0, 1: 1.0}
    assert recall.agreements(9, changed) == {0: 1.0, 1: 0.5}  # two of the sixteen states are measured


def test_fewer_states_than_one_can_be_held_out_of_are_refused():
    check(Config(consolidation=ConsolidationConfig(recall_states=HELD_OUT)))
    with pytest.raises(ConfigError, match="recall_states"):
        check(Config(consolidation=ConsolidationConfig(recall_states=HELD_OUT - 1)))


def test_what_is_measured_of_many_states_needs_no_more_room_than_a_minibatch():
    """Neither the observations of a departure nor those of an agreement are held together."""
    recall, sizes, waiting = Recall(1600, 4, 1.0), [], []

    def batches():
        for seed in range(50):
            waiting.append(len(sizes) - seed)
            yield observations(seed, 32)

    def values(observation, task):
        sizes.append(len(observation))
        return values_of(observation, task)

    recall.leave(0, recall.measure(0, batches(), values))
    assert waiting == [0] * 50
    assert recall.agreements(9, values) == {0: 1.0}
    assert max(sizes) == 32 and sum(sizes) == 1600 + 200


def test_a_copy_draws_what_the_original_draws():
    recall = left(Recall(16, 4, 2.0), 0, 1)
    recall.draw(0)
    copy = Recall(16, 4, 2.0)
    copy.load_state_dict(recall.state_dict())
    for active in (0, 1, 2, 2):
        one, other = recall.draw(active), copy.draw(active)
        assert one.task == other.task and torch.equal(one.observation, other.observation)
        assert torch.equal(one.values, other.values) and one.strength == other.strength == 2.0


def test_names_of_segments_stand_for_the_same_content():
    recall = left(Recall(16, 4, 1.0), 0)
    before = recall.state_dict()["segments"]
    left(recall, 1, 0)
    after = recall.state_dict()["segments"]
    assert len(after) == 2 and not set(before) & set(after)


def test_the_loss_is_the_mean_square_over_actions_summed_over_states():
    values, kept = torch.tensor([[1.0, 3.0], [0.0, 0.0]]), torch.tensor([[0.0, 1.0], [2.0, 0.0]])
    assert recall_loss(values, kept, 3.0) == pytest.approx(1.5 * (2.5 + 2.0))
