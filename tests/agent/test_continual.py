"""The agent's book-keeping, with a scripted source of tasks and a learner that only counts; and that consolidation
of no strength changes no bit of the real one."""

import copy
from dataclasses import fields, replace
from itertools import islice

import numpy as np
import pytest
import torch

from agent.consolidators.none import NoConsolidation
from agent.continual import ContinualAgent, Departure, Generators, Updates, generator_state
from agent.dqn import PlainUpdate
from agent.exploration import LinearEpsilon
from agent.fast.update import FastUpdate
from agent.fisher import ESTIMATORS, fisher_information
from agent.learner import QLearner
from agent.networks import joined_weights
from agent.objective import DOUBLE_Q
from agent.recall import Recall
from agent.task_change import Abandoned, TaskChange, never
from configs.build import build_agent, build_memory, build_stream
from configs.schema import (
    Config,
    ConsolidationConfig,
    EmulatorConfig,
    LearnerConfig,
    ReplayConfig,
    StreamConfig,
    Visit,
)
from envs.timestep import TimeStep
from replay.per_task import PerTaskReplay
from replay.transition import Transition
from taskid.forget_me_not import ForgetMeNot
from taskid.forget_me_not_settings import DEFAULT
from taskid.source import Inference
from tests.conformance.alike import assert_alike, difference, through_a_file
from training.interact import interact


class Script:
    """Tasks as scripted, one entry per step: a task that is certain at once, or (task, assigned tasks)."""

    posterior = 1.0

    def __init__(self, script):
        self.script, self.step, self.num_tasks = script, 0, 0

    def infer(self, now):
        entry = self.script[self.step]
        self.step += 1
        task, assigned = entry if isinstance(entry, tuple) else (entry, (entry,))
        self.num_tasks = max(self.num_tasks, task + 1, *(each + 1 for each in assigned))
        return Inference(task, assigned)

    def state_dict(self):
        return {"step": self.step, "tasks": self.num_tasks}

    def load_state_dict(self, state):
        self.step, self.num_tasks = state["step"], state["tasks"]


class Memory(PerTaskReplay):
    """Writes down the rows that are assigned and what is sampled."""

    def __init__(self, reward_clip):
        super().__init__(lambda: pytest.fail("no ring is needed"), 1, reward_clip)
        self.rows, self.sampled, self.seen = [], [], []
        self.empty = False

    def add(self, task, time, now, action, following):
        self.rows.append((task, time, following.reward.tolist()))
        self.seen.append((now, action, following))

    def can_sample(self, task):
        return not self.empty

    def sample(self, task, size, rng):
        self.sampled.append((task, size, rng))
        column = torch.from_numpy(rng.integers(1000, size=size))
        return Transition(column.to(torch.uint8), column, column, column, column)

    def minibatches(self, task, size, count, rng):
        yield from self.sample(task, size * count, rng).split(size)


class Network:
    """Its one weight is the number of updates made; writes down what Fishers are measured."""

    def __init__(self):
        self.weights, self.measured = [torch.zeros(1)], []

    def active_units(self, task):
        return [torch.ones(1, dtype=torch.bool), torch.ones(2, dtype=torch.bool)]

    def state_dict(self):
        return {"weight": self.weights[0]}


class Learner:
    """Counts; the target's timer is the real one."""

    device = torch.device("cpu")
    objective = DOUBLE_Q
    count_frames = QLearner.count_frames

    def __init__(self, target_frames):
        self.num_tasks, self.learned, self.recalled, self.syncs, self.settled = 0, [], [], 0, []
        self.generator = torch.Generator()
        self.target_frames, self.learned_frames = target_frames, 0
        self.network, self.target = Network(), Network()

    @property
    def weights(self):
        return self.network.weights

    def add_task(self):
        self.num_tasks += 1

    def q_values(self, observation, task):
        return torch.zeros(len(observation), 18)

    def prepare(self, batch, task, recalled):
        self.recalled.append(recalled)
        return batch

    def learn_prepared(self, prepared, task, consolidator):
        self.learned.append(task)
        self.weights[0] += 1
        self.consolidator = consolidator
        return {}

    def sync_target(self):
        self.syncs += 1

    def wants_background(self, task):
        return False

    def enter(self, task):
        self.settled.append(("enter", task))

    def settle(self):
        self.settled.append(("settle", len(self.learned)))

    def played_state_dict(self):
        return self.network.state_dict()

    def load_weights(self, network, tasks):
        self.num_tasks = tasks

    def state_dict(self):
        return {"tasks": self.num_tasks, "learned_frames": self.learned_frames}

    def load_state_dict(self, state):
        self.num_tasks, self.learned_frames = state["tasks"], state["learned_frames"]


class Consolidator(NoConsolidation):
    """Writes down what it is told, and measures the Fisher if asked to."""

    def __init__(self, measures=False):
        self.told, self.measures, self.fishers = [], measures, []
        self.agent = None  # whose frames are written down, too

    def enter(self, task):
        self.told.append(("enter", task))

    def leave(self, task, weights, fisher, active_units):
        frames = self.agent.task_frames[task]
        self.told.append(("leave", task, frames, weights[0].item()))
        if self.measures:
            self.fishers.append(fisher())
        return {"frames": float(frames)}


@pytest.fixture
def scripted_fishers(monkeypatch):
    """Estimators that such a network can do with: it writes down the task, the estimator and the batch's size."""

    def scripted(name):
        def squares(network, batch, task, goals, generator):
            network.measured.append((task, name, len(batch.action)))
            return [torch.rand(1, generator=generator)]

        return squares

    for name in ESTIMATORS:
        monkeypatch.setitem(ESTIMATORS, name, scripted(name))


def make_agent(
    task_source, emulators=1, consolidator=None, target_frames=1000, reward_clip=1.0, recall=None, **changes
):
    """`changes` are of `Updates` and `Departure`."""
    settings = {"batch_size": 32, "samples_per_step": 8.0, "min_history_frames": 4, **changes}
    updates, departure = (
        kind(**{field.name: settings.pop(field.name) for field in fields(kind) if field.name in settings})
        for kind in (Updates, Departure)
    )
    assert not settings
    agent = ContinualAgent(
        task_source,
        Memory(reward_clip),
        Learner(target_frames),
        consolidator or NoConsolidation(),
        recall or Recall(0, 1, 1.0),
        LinearEpsilon(1.0, (0.0,), 0, 400),
        updates,
        departure,
        Generators(*(np.random.default_rng(seed) for seed in range(3))),
        frames_per_step=4 * emulators,
    )
    agent.consolidator.agent = agent
    return agent


def run(tasks, emulators=1, reward=0.0, **changes):
    agent = make_agent(Script(tasks), emulators, **changes)
    step = TimeStep(
        np.zeros((emulators, 4, 84, 84), np.uint8),
        np.full(emulators, reward, np.float32),
        np.ones(emulators, np.float32),
        np.zeros(emulators, bool),
    )
    for _ in range(len(tasks)):
        advance(agent, step, step)
    return agent


def advance(agent, now, following):
    """One time step; what was reported."""
    agent.observe(now, agent.act(now), following)
    return agent.learn()


def numbered_step(t, emulators=2):
    """A step that no other is equal to."""
    return TimeStep(
        np.full((emulators, 4, 3, 3), t, np.uint8),
        np.full(emulators, t, np.float32),
        np.full(emulators, t % 2, np.float32),
        np.arange(emulators) == t % 3,
    )


def live(agent, times, emulators=2):
    """Act and observe from step to step; the updates made at each."""
    steps = [(numbered_step(t, emulators), numbered_step(t + 1, emulators)) for t in times]
    return [sum("active_fraction" not in each for each in advance(agent, now, following)) for now, following in steps]


# In doubt from step 2 until 5 brings a new task, from 7 until 8 keeps the old one, and from 9 until 10, where the
# next doubt begins, which lasts until 11.
DOUBTFUL = [0, 0, (0, ()), (0, ()), (0, ()), (1, (1,) * 4), 1, (1, ()), (0, (0, 0)), (0, ()), (0, (0,)), (2, (2, 2)), 2]
CERTAIN = [0, 0, 1, 1, 1, 1, 1, 0, 0, 0, 2, 2, 2]


@pytest.mark.parametrize("emulators", [1, 2, 4, 8])
def test_samples_per_step_do_not_depend_on_the_number_of_emulators(emulators):
    agent = run([0] * (320 // emulators), emulators)
    assert len(agent.learner.learned) == 320 * 8 / 32


def test_a_fractional_ratio_is_kept_on_average():
    agent = run([0] * 1000, 1, samples_per_step=0.7, batch_size=32)
    assert len(agent.learner.learned) == int(1000 * 0.7 / 32)


def test_each_task_waits_for_its_own_history_and_only_once():
    agent = run([0] * 30 + [1] * 30 + [0] * 30, 1, min_history_frames=80, samples_per_step=32.0)
    assert agent.learner.learned == [0] * 11 + [1] * 11 + [0] * 30


def test_epsilon_has_a_timer_for_every_task():
    agent = run([0] * 60 + [1] * 10)
    assert agent.task_frames == {0: 240, 1: 40}
    assert agent.epsilon(agent.task_frames[0]) == pytest.approx(0.4)
    assert agent.epsilon(agent.task_frames[1]) == pytest.approx(0.9)


def test_rows_go_to_the_task_that_was_inferred_with_the_runs_time():
    agent = run([0, 0, 1, 0])
    assert [(task, time) for task, time, _ in agent.replay.rows] == [(0, 0), (0, 1), (1, 2), (0, 3)]


@pytest.mark.parametrize(("clip", "stored"), [(1.0, 1.0), (0.0, 7.0)])
def test_rewards_are_clipped_for_learning_only_where_asked(clip, stored):
    agent = run([0], 1, reward=7.0, reward_clip=clip)
    assert agent.replay.rows[0][2] == [stored]


def test_the_target_is_synced_once_per_period_of_learning_frames():
    agent = run([0] * 1000, 1, min_history_frames=2004, target_frames=400)
    assert agent.learner.learned_frames == 500 * 4
    assert agent.learner.syncs == 5


@pytest.mark.usefixtures("scripted_fishers")
@pytest.mark.parametrize("changes", [{}, {"rehearsal": 0.5}, {"prune_inactive": True}])
def test_learning_and_leaving_wait_for_something_to_learn_from(changes):
    """Frames alone are not enough: a replay may hold nothing but rows that were cut off."""
    agent = make_agent(Script([0] * 20 + [1] * 20 + [0] * 20), consolidator=Consolidator(True), **changes)
    agent.replay.empty = True
    live(agent, range(41), 1)
    assert not agent.replay.sampled and agent.diagnostics() == {} and agent.sample_debt == 0
    assert agent.consolidator.told == [("enter", 0), ("enter", 1), ("enter", 0)]
    agent.replay.empty = False
    assert sum(live(agent, range(41, 60), 1)) == 19 * 8 // 32


@pytest.mark.parametrize("stream", [{"visit_frames": 8}, {"reseed_frames": 8}])
def test_a_stream_too_short_for_any_transition_teaches_nothing_and_does_no_harm(stream):
    """Every row is cut off: what `configs.checks` refuses, and what the replay of a short visit may hold."""
    config = Config(
        task_source="single",
        stream=StreamConfig(games=["toy_catch", "toy_avoid"], **stream),
        emulators=EmulatorConfig(num_envs=2),
        learner=LearnerConfig(network="small", precision="float32", batch_size=8),
        replay=ReplayConfig(capacity=1000, min_history=40),
    )
    stream, memory = build_stream(config), build_memory(config)
    agent = build_agent(config, memory, lambda: stream.label)
    stream.start()
    assert not any(step.updates for step in islice(interact(stream, agent), 60))
    assert agent.task_frames[0] > 4 * config.replay.min_history and agent.updates == 0


@pytest.mark.usefixtures("scripted_fishers")
def test_the_weights_settle_before_a_task_is_left_whether_it_leaves_anything_or_not():
    agent = run([0] * 30 + [1] * 2 + [0] * 20, start_frames=40, consolidator=Consolidator(True))
    told = [each for each in agent.learner.settled if each[0] == "enter"]
    assert told == [each for each in agent.consolidator.told if each[0] == "enter"]
    leaves = [each for each in agent.consolidator.told if each[0] == "leave"]
    settled = [number for name, number in agent.learner.settled if name == "settle"]
    assert len(leaves) == 1  # task 1 was too short to leave anything
    assert [name for name, _ in agent.learner.settled] == ["settle", "enter"] * 3 and settled[1] == leaves[0][3]


# -- a task in doubt -------------------------------------------------------------------------------------------


def test_rows_wait_while_the_task_is_in_doubt_and_land_in_order_in_the_task_assigned():
    agent = make_agent(Script(DOUBTFUL), 2)
    waiting = []
    for t in range(len(DOUBTFUL)):
        live(agent, [t])
        waiting.append(agent.replay.pending)
    assert waiting == [0, 0, 1, 2, 3, 0, 0, 1, 0, 1, 1, 0, 0]
    assert [(task, time) for task, time, _ in agent.replay.rows] == list(zip(CERTAIN, range(13), strict=True))
    for (now, action, following), (_, time, _) in zip(agent.replay.seen, agent.replay.rows, strict=True):
        for step, expected in ((now, numbered_step(time)), (following, numbered_step(time + 1))):
            assert_alike(step.observation, expected.observation)
            assert_alike(step.discount, expected.discount)
            assert_alike(step.first, expected.first)
            assert_alike(step.interrupted, expected.interrupted)
        assert_alike(following.reward, np.clip(numbered_step(time + 1).reward, -1, 1))
        assert action.shape == (2,)


def test_the_actions_that_wait_are_those_that_were_taken():
    agent, taken = make_agent(Script(DOUBTFUL), 2), []
    for t in range(len(DOUBTFUL)):
        now = numbered_step(t)
        taken.append(agent.act(now))
        agent.observe(now, taken[-1], numbered_step(t + 1))
        agent.learn()
    assert_alike([action for _, action, _ in agent.replay.seen], taken)


def test_frames_in_doubt_count_for_the_task_assigned():
    agent = make_agent(Script(DOUBTFUL), 2)
    live(agent, range(len(DOUBTFUL)))
    assert agent.task_frames == {task: 8 * CERTAIN.count(task) for task in (0, 1, 2)}


def test_where_a_source_holds_nothing_back_every_row_goes_at_once_to_the_task_acted_in():
    acted = [entry[0] if isinstance(entry, tuple) else entry for entry in DOUBTFUL]
    agent = make_agent(Script([(task, (task,)) for task in acted]), 2)
    for t in range(len(DOUBTFUL)):
        live(agent, [t])
        assert agent.replay.pending == 0
    assert [(task, time) for task, time, _ in agent.replay.rows] == list(zip(acted, range(13), strict=True))


@pytest.mark.parametrize("samples_per_step", [8.0, 0.7, 40.0])
def test_nothing_is_learned_in_doubt_and_what_was_owed_is_caught_up(samples_per_step):
    window = [(0, ())] * 5 + [(1, (1,) * 6)]
    doubtful = [0] * 10 + window + [1] * 10 + window[:2] + [(1, (1,) * 3)] + [1] * 10
    certain = [0] * 10 + [1] * 6 + [1] * 10 + [1] * 3 + [1] * 10
    settings = {"samples_per_step": samples_per_step, "target_frames": 80}
    a, b = make_agent(Script(doubtful), 2, **settings), make_agent(Script(certain), 2, **settings)
    updates, expected = (np.array(live(each, range(len(doubtful)))) for each in (a, b))
    for t, entry in enumerate(doubtful):
        if isinstance(entry, tuple) and not entry[1]:
            assert updates[t] == 0
        else:
            assert updates[: t + 1].sum() == expected[: t + 1].sum()
    assert updates.sum() == len(a.learner.learned) > 0
    assert a.learner.learned == b.learner.learned and a.replay.rows == b.replay.rows
    assert (a.sample_debt, a.learner.learned_frames, a.learner.syncs) == pytest.approx(
        (b.sample_debt, b.learner.learned_frames, b.learner.syncs)
    )


@pytest.mark.parametrize("before", [2, 4, 5, 10, 12])
def test_rows_that_wait_survive_a_stop_bit_for_bit(before):
    whole = make_agent(Script(DOUBTFUL), 2)
    live(whole, range(before))
    stopped = make_agent(Script(DOUBTFUL), 2)
    live(stopped, range(before))
    resumed = make_agent(Script(DOUBTFUL), 2)
    for part in ("agent", "replay"):
        its, other, same = (each if part == "agent" else each.replay for each in (resumed, stopped, whole))
        its.load_state_dict(through_a_file(other.state_dict()))
        assert_alike(its.state_dict(), same.state_dict())
    kept = len(whole.replay.rows)
    assert live(whole, range(before, 13)) == live(resumed, range(before, 13))
    assert_alike(whole.replay.rows[kept:], resumed.replay.rows)
    assert_alike(whole.replay.seen[kept:], resumed.replay.seen)


def test_a_run_that_begins_from_a_snapshot_in_doubt_loses_and_invents_no_row():
    """The rows that waited are in no snapshot, so what was undecided must not wait for them either."""

    def screen(t):
        return TimeStep(
            np.full((1, 4, 84, 84), 40 * (t // 30), np.uint8),
            np.zeros(1, np.float32),
            np.ones(1, np.float32),
            np.full(1, t % 30 == 0),
        )

    def go(agent, times):
        for t in times:
            advance(agent, screen(t), screen(t + 1))

    for moment in (3, 20, 30, 31, 35):
        old, new = make_agent(ForgetMeNot(DEFAULT)), make_agent(ForgetMeNot(DEFAULT))
        go(old, range(moment))
        new.load_snapshot(through_a_file(old.snapshot()))
        go(new, range(30, 90))
        assert [time for _, time, _ in new.replay.rows] == list(range(60))
        old_first = moment >= 12  # then the old run's first screen is a context, met before
        assert [task for task, _, _ in new.replay.rows] == [old_first] * 30 + [old_first + 1] * 30


# -- consolidation when the task changes -------------------------------------------------------------------------


def told(script, emulators=1, **changes):
    """What the consolidation was told while the agent lived through the script."""
    consolidator = Consolidator()
    live(make_agent(Script(script), emulators, consolidator, **changes), range(len(script)), emulators)
    return consolidator.told


def test_a_task_is_left_once_with_its_frames_and_then_the_next_is_entered():
    # 4 frames and a quarter of an update per step; updates are made from the first step in a task on.
    script = [0] * 8 + [1] * 4 + [0] * 12 + [2] * 4
    assert told(script) == [
        ("enter", 0),
        ("leave", 0, 32, 2),
        ("enter", 1),
        ("leave", 1, 16, 3),
        ("enter", 0),
        ("leave", 0, 80, 6),
        ("enter", 2),
    ]


def test_a_task_is_left_only_after_the_frames_that_are_asked_for_and_a_long_enough_visit():
    """32 frames in task 0 at its first departure, 48 at its second, a visit of 16."""
    script = [0] * 8 + [1] * 4 + [0] * 4 + [1]
    for start, shortest, left in ((0, 0, [0, 1, 0]), (32, 0, [0, 0]), (33, 0, [0]), (49, 0, []), (32, 20, [0])):
        found = told(script, start_frames=start, min_visit_frames=shortest)
        assert [each[1] for each in found if each[0] == "leave"] == left


def test_a_task_without_enough_history_is_not_left_but_the_next_is_entered():
    script = [0] * 10 + [1] * 9 + [0] * 2 + [1] + [0]
    found = told(script, min_history_frames=40, samples_per_step=32.0)
    assert found == [
        ("enter", 0),
        ("leave", 0, 40, 1),
        ("enter", 1),
        ("enter", 0),  # 36 frames in task 1
        ("leave", 0, 48, 3),
        ("enter", 1),
        ("leave", 1, 40, 4),
        ("enter", 0),
    ]


def test_the_weights_are_those_at_the_first_sign_of_doubt():
    """Two updates a step; none from step 10 on, where the doubt begins that ends in another task."""
    script = [0] * 10 + [(0, ())] * 5 + [(1, (1,) * 6)] + [1] * 4
    assert told(script, samples_per_step=64.0) == [("enter", 0), ("leave", 0, 40, 20), ("enter", 1)]


def test_a_doubt_that_comes_to_nothing_leaves_no_task():
    """However often: flicker overwrites no anchor."""
    assert told([0] * 5 + [(0, ()), (0, (0, 0))] * 20 + [(0, ()), (0, ()), (0, (0,) * 3)]) == [("enter", 0)]


def test_what_was_in_doubt_counts_for_the_task_that_is_left_next():
    told_all = told(DOUBTFUL)
    left = [each[1:3] for each in told_all if each[0] == "leave"]
    assert left == [(0, 8), (1, 20), (0, 20)]  # the last with step 9, assigned at 10
    assert [each[1] for each in told_all if each[0] == "enter"] == [0, 1, 0, 2]


def test_a_departure_is_reported_once_before_the_updates():
    agent = make_agent(Script([0, 0, 1, 1]), consolidator=Consolidator(), samples_per_step=32.0)
    step = numbered_step(0, 1)
    reports = [advance(agent, step, step) for _ in range(4)]
    assert [len(each) for each in reports] == [1, 1, 2, 1]
    assert {name: value.item() for name, value in reports[2][0].items()} == {"frames": 8.0, "active_fraction": 1.0}


def test_the_consolidation_is_handed_to_every_update():
    consolidator = Consolidator()
    agent = make_agent(Script([0] * 8), consolidator=consolidator)
    live(agent, range(8))
    assert agent.learner.consolidator is consolidator


@pytest.mark.usefixtures("scripted_fishers")
def test_a_fisher_is_measured_on_the_task_that_is_left_from_a_generator_of_its_own():
    agents = []
    for consolidator in (Consolidator(), Consolidator(measures=True), Consolidator(measures=True)):
        agent = make_agent(
            Script([0] * 5 + [1] * 5 + [0]),
            consolidator=consolidator,
            fisher_estimator="policy",
            fisher_batches=7,
            batch_size=3,
        )
        live(agent, range(11))
        agents.append(agent)
    unasked, asked, twin = agents
    assert unasked.learner.network.measured == []
    assert asked.learner.network.measured == [(0, "policy", 3)] * 7 + [(1, "policy", 3)] * 7
    for agent in agents:
        kinds = {True: [], False: []}
        for task, size, rng in agent.replay.sampled:
            kinds[rng is not agent.generators.replay].append((task, size))
        assert kinds[True] == ([(0, 3)] * 7 + [(1, 3)] * 7 if agent is not unasked else [])
    for name in ("exploration", "replay", "fisher"):
        assert generator_state(getattr(asked.generators, name)) == generator_state(getattr(unasked.generators, name))
    first, second = asked.consolidator.fishers
    assert not torch.equal(first[0], second[0])  # drawn anew each time
    assert_alike(asked.consolidator.fishers, twin.consolidator.fishers)


# -- the real agent in a toy stream --------------------------------------------------------------------------------

B = 2


def toy_config(optimizer, **consolidation):
    visits = [Visit(game, 20 * 4 * B) for game in ("toy_rise", "toy_mirror", "toy_catch")]
    return Config(
        task_source="true_labels",
        stream=StreamConfig(order="listed", visits=visits),
        emulators=EmulatorConfig(num_envs=B),
        learner=LearnerConfig(
            network="small",
            precision="float32",
            optimizer=optimizer,
            batch_size=6,
            samples_per_step=1.5,
            n_step=2,
            target_frames=100,
            shift_pixels=2,
        ),
        consolidation=ConsolidationConfig(
            **{"start_frames": 20 * 4 * B, "min_visit_frames": 0, "fisher_batches": 3, **consolidation}
        ),
        replay=ReplayConfig(capacity=100, min_history=16),
    )


def play_toys(config, steps=84, examine=False):
    """Through three games and the first once more: the agent, its actions and updates, and its departures."""
    stream, memory = build_stream(config), build_memory(config)
    agent = build_agent(config, memory, lambda: stream.label)
    stream.start()
    trace, departures = [], []
    for number, step in enumerate(islice(interact(stream, agent), steps)):
        departures += [each for each in step.updates if "fisher_mean" in each]
        trace.append((step.action, step.task, [each for each in step.updates if "loss" in each]))
        if examine and number % 7 == 6:
            agent.diagnostics()
    return agent, trace, departures


NO_STRENGTH = [
    {"step": "proximal", "fisher": "policy"},
    {"step": "gradient", "fisher": "td"},
    {"step": "proximal", "kind": "ewc_normalised"},
]


@pytest.mark.parametrize(("optimizer", "settings"), [("adam", NO_STRENGTH), ("rmsprop", NO_STRENGTH[:2])])
def test_consolidation_of_no_strength_is_none_bit_for_bit(optimizer, settings):
    plain, trace, none = play_toys(toy_config(optimizer, kind="none"))
    assert plain.updates > 25 and not none
    for changes in settings:
        world, others = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
        config = toy_config(optimizer, ewc_lambda=0.0, **{"kind": "ewc", **changes})
        agent, its, departures = play_toys(config, examine=True)
        assert len(departures) == 4 and all(each["fisher_mean"] > 0 for each in departures)
        assert any((p > 0).any() for p in agent.consolidator.merged.precision)
        assert_alike(its, trace)
        assert_alike(agent.state_dict(), plain.state_dict())
        assert torch.equal(torch.get_rng_state(), world)
        assert (np.random.get_state()[1] == others).all()  # noqa: NPY002


def test_consolidation_of_some_strength_is_felt_from_the_first_departure_on():
    plain, trace, _ = play_toys(toy_config("adam", kind="none"))
    agent, its, _ = play_toys(toy_config("adam", ewc_lambda=1e3))
    met = [i for i, (a, b) in enumerate(zip(trace, its, strict=True)) if difference(a, b)]
    assert 20 <= met[0] < 45  # the second task's first updates come at step 28
    assert difference(agent.state_dict(), plain.state_dict())
    assert sorted(agent.consolidator.store.anchors) == [0, 1, 2]


def test_what_a_task_leaves_is_its_weights_and_its_fisher():
    """At the switch, measured once more from the same generator."""
    config = toy_config("adam", ewc_lambda=5.0, fisher="policy")
    stream, memory = build_stream(config), build_memory(config)
    agent = build_agent(config, memory, lambda: stream.label)
    stream.start()
    for _ in islice(interact(stream, agent), 20):
        pass
    agent.learn()  # what the last step made due
    assert agent.task == 0 and stream.label == "toy_mirror"
    weights, rng = copy.deepcopy(agent.learner.weights), copy.deepcopy(agent.generators.fisher)
    seed = int(rng.integers(2**62))
    draws = np.random.default_rng([seed, 1])
    batches = [memory.sample(0, 6, draws) for _ in range(3)]
    networks = agent.learner.network, agent.learner.target
    expected = fisher_information(*networks, batches, 0, "policy", torch.Generator().manual_seed(seed))
    agent.act(stream.now)
    anchor = agent.consolidator.store.anchors[0]
    assert agent.task == 1
    assert_alike(list(anchor.mean), [w.detach() for w in weights])
    assert_alike(list(anchor.precision), expected)
    assert generator_state(agent.generators.fisher) == generator_state(rng)
    assert_alike(agent.consolidator.merged.precision, anchor.precision)  # of the only other task


def test_a_left_tasks_inactive_units_are_pruned_and_the_weights_between_the_others_damped():
    """The same departure with and without: neither values nor Fisher change but for what the settings say. Units are
    closed without a penalty, too."""
    both = {"prune_inactive": True, "fisher_damping": 0.5}
    agents = [
        play_toys(toy_config("adam", fisher_batches=20, **settings), steps=21)[0]
        for settings in ({"ewc_lambda": 5.0}, {"ewc_lambda": 5.0, **both}, {"kind": "none", **both})
    ]
    plain, closing, unheld = agents
    assert all((gain != 0).all() for gain in plain.learner.network.task_parameters[0].gains)
    gains = closing.learner.network.task_parameters[0].gains
    assert_alike(list(unheld.learner.network.task_parameters[0].gains), list(gains))
    assert any((gain == 0).any() for gain in gains) and (gains[-1] != 0).all()
    seen = plain.replay.sample(0, 60, np.random.default_rng(0)).observation
    was, now = (agent.learner.q_values(seen, 0) for agent in (plain, closing))
    torch.testing.assert_close(now, was, rtol=1e-5, atol=1e-6)  # pruned units are not even computed
    network, consolidator = closing.learner.network, closing.consolidator
    joined = joined_weights([w.shape for w in network.weights], network.active_units(0))
    assert sorted(consolidator.store.anchors) == [0] and consolidator.active == 1
    for f, kept, uses in zip(
        consolidator.merged.precision, consolidator.store.anchors[0].precision, joined, strict=True
    ):
        assert (f[~uses] == 0).all() and (f[uses] > 0).all()
        assert (kept[~uses] == 0).all() and (kept[uses] == 0).any()  # as measured


def test_tasks_leave_no_anchor_before_the_frames_that_are_asked_for():
    frames = 20 * 4 * B
    for start, kept, times in ((frames, [0, 1, 2], 4), (frames + 1, [0], 1), (2 * frames + 1, [], 0)):
        agent, _, departures = play_toys(toy_config("adam", start_frames=start, fisher_batches=1))
        assert sorted(agent.consolidator.store.anchors) == kept and len(departures) == times


# -- visits too short for an anchor, and rehearsal ---------------------------------------------------------------


@pytest.mark.usefixtures("scripted_fishers")
def test_an_alternating_source_neither_measures_a_fisher_nor_touches_an_anchor():
    """Task 1 is learned and left; later task 0's visit flickers: whatever is left after a step leaves nothing."""
    script = [1] * 40 + [0] * 40 + [1, 0] * 50
    consolidator = Consolidator(measures=True)
    agent = run(script, consolidator=consolidator, min_visit_frames=80)
    assert agent.short_visits == 99  # told, for where all visits are like this nothing is consolidated
    left = [each for each in consolidator.told if each[0] == "leave"]
    assert [task for _, task, *_ in left] == [1, 0] and len(consolidator.fishers) == 2
    consolidator = Consolidator(measures=True)
    run(script, consolidator=consolidator, min_visit_frames=0)
    assert len(consolidator.fishers) == 101


def test_frames_of_a_visit_are_counted_anew_at_every_visit():
    for frames, left in ((40, [0, 1, 0, 1]), (44, [0, 0]), (80, [0]), (84, [])):
        consolidator = Consolidator()
        run([0] * 20 + [1] * 10 + [0] * 12 + [1] * 10 + [0], consolidator=consolidator, min_visit_frames=frames)
        assert [each[1] for each in consolidator.told if each[0] == "leave"] == left


def test_frames_in_doubt_count_for_the_visit_they_are_assigned_to():
    agent = make_agent(Script(DOUBTFUL), 2)
    live(agent, range(6))
    assert (agent.task, agent.visit_frames) == (1, 4 * 8)  # all four rows that were in doubt
    live(agent, range(6, 7))
    assert agent.visit_frames == 5 * 8


def test_a_real_anchor_survives_a_flicker_bit_for_bit():
    config = toy_config("adam", ewc_lambda=5.0, min_visit_frames=16 * 4 * B)
    agent, _, departures = play_toys(config)
    assert len(departures) == 4
    kept = copy.deepcopy(agent.consolidator.store.state_dict())
    before = generator_state(agent.generators.fisher)
    for task in (1, 2, 0, 1, 0, 2, 0):
        agent._change_task(TaskChange(task, (), agent._departure_seed(), []), never)
    assert_alike(agent.consolidator.store.state_dict(), kept)
    assert generator_state(agent.generators.fisher) == before


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_a_share_of_the_updates_rehearses_the_others_in_turn(share):
    agent = run([0] * 40 + [1] * 40 + [2] * 400, rehearsal=share)
    last = agent.learner.learned[-100:]
    others = [task for task in last if task != 2]
    assert len(others) == 100 * share
    assert abs(others.count(0) - others.count(1)) <= 1
    assert len(agent.learner.learned) == 480 * 8 / 32  # whatever the share


def test_only_tasks_that_were_learned_are_rehearsed():
    agent = run([0] * 40 + [1] * 5 + [2] * 100, rehearsal=0.5, min_history_frames=40)
    assert set(agent.learner.learned) == {0, 2}


# -- recall ------------------------------------------------------------------------------------------------------


def test_what_was_left_is_recalled_in_every_update_of_another_task():
    agent = run([0] * 40 + [1] * 40 + [0] * 40, recall=Recall(40, 2, 1.0), consolidator=Consolidator())
    tasks = [each and each.task for each in agent.learner.recalled]
    assert len(tasks) == len(agent.learner.learned) == 3 * 40 * 8 / 32
    assert tasks == [None] * 10 + [0] * 10 + [1] * 10


@pytest.mark.usefixtures("scripted_fishers")
def test_a_departure_that_is_given_up_anywhere_keeps_nothing_of_it():
    """Asked to stop at each minibatch in turn, of the states to keep and of the Fisher; done again, it is as if not."""

    def left(polls):
        agent = make_agent(
            Script([0] * 9 + [1] * 9), recall=Recall(80, 2, 1.0), consolidator=Consolidator(measures=True)
        )
        agent.departure = replace(agent.departure, fisher_batches=2)
        asked = iter([False] * polls + [True])
        for t in range(12):
            now = numbered_step(t, 1)
            try:
                action = agent.act(now, lambda: next(asked, False))
            except Abandoned:
                assert t == 9 and not agent.recall.state_dict()["segments"]
                action = agent.act(now)
            agent.observe(now, action, numbered_step(t + 1, 1))
            agent.learn()
        return next(asked, False), agent

    uninterrupted = left(99)[1]
    stops = 0
    while not left(stops)[0]:
        _, agent = left(stops)
        assert_alike(agent.recall.state_dict(), uninterrupted.recall.state_dict())
        assert_alike(agent.state_dict(), uninterrupted.state_dict())
        stops += 1
    assert stops == 3 + 2


@pytest.mark.parametrize(("strength", "update"), [(0.0, FastUpdate), (1.0, PlainUpdate)])
def test_values_that_are_only_measured_cost_no_fast_update(strength, update):
    """RMSProp has no packed update, and the other fast one recalls nothing."""
    left = ConsolidationConfig(recall_states=8, recall_strength=strength)
    config = Config(consolidation=left, learner=LearnerConfig(optimizer="rmsprop"))
    agent = build_agent(config, build_memory(config), label=lambda: "")
    assert type(agent.learner.update) is update


def test_a_departure_tells_how_many_greedy_actions_are_still_the_same():
    agent = make_agent(Script([0] * 9 + [1] * 9 + [2] * 9), recall=Recall(40, 2, 0.0), consolidator=Consolidator())
    agent.learner.q_values = lambda observation, task: torch.eye(18)[[task + len(agent.learner.learned) // 4]].expand(
        len(observation), -1
    )
    reports = [each for t in range(27) for each in advance(agent, numbered_step(t, 1), numbered_step(t + 1, 1))]
    told = [{n: v.item() for n, v in each.items() if "agreement" in n} for each in reports if "active_fraction" in each]
    assert told == [{}, {"agreement_task0": 0.0, "agreement_mean": 0.0, "agreement_least": 0.0}]
    assert all(each is None for each in agent.learner.recalled)
