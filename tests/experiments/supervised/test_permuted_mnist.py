"""The classifier against autograd and loops over samples, and the command on the sample of digits."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch.nn import functional

from agent.anchors.anchored import AnchoredConsolidator
from agent.anchors.steps import ProximalStep
from agent.consolidators.ewc import EWC
from agent.consolidators.none import NoConsolidation
from experiments.supervised.classifier import (
    Classifier,
    Descent,
    Mixture,
    Samples,
    SteadyProximalStep,
    Task,
    _drop,
    labelled_log_likelihood,
    learn,
    subset,
)
from experiments.supervised.mnist import SAMPLE, load, patch_permutation
from experiments.supervised.permuted_figures import PAPER, learned_and_forgotten
from experiments.supervised.permuted_mnist import main
from experiments.supervised.permuted_runs import Runs
from experiments.supervised.permuted_tasks import Experiment, Settings, random_places
from tests.commands import code_of


@pytest.fixture(scope="module")
def digits():
    return load(SAMPLE)


@pytest.fixture(autouse=True)
def one_thread():
    """Small steps gain nothing by more; what the command sets is set back."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def few(digits, count=12):
    samples = Samples.of(digits.train)
    return Samples(samples.inputs[::33][:count], samples.labels[::33][:count])


def plain_logits(weights, pixels):
    """The same network with weights and biases apart."""
    signal = pixels
    for layer, weight in enumerate(weights):
        signal = functional.linear(signal.relu() if layer else signal, weight[:, :-1], weight[:, -1])
    return signal


def test_samples_are_scaled_rearranged_and_carry_a_one(digits):
    places = patch_permutation(8, np.random.default_rng(0))
    plain, moved = Samples.of(digits.test), Samples.of(digits.test, places)
    assert plain.inputs.shape == (200, 785) and bool((plain.inputs[:, -1] == 1).all())
    assert plain.inputs.min() == 0 and plain.inputs.max() == 1
    assert torch.equal(moved.inputs[:, :-1], plain.inputs[:, torch.from_numpy(places)])
    assert plain.labels.tolist() == digits.test.labels.tolist()


def test_the_bias_is_the_weight_of_the_one(digits):
    network, samples = Classifier.fresh([20, 15], generator()), few(digits)
    assert [tuple(w.shape) for w in network.weights] == [(20, 785), (15, 21), (10, 16)]
    assert all(float(w.abs().max()) <= (w.shape[1] - 1) ** -0.5 for w in network.weights)
    expected = plain_logits(network.weights, samples.inputs[:, :-1])
    torch.testing.assert_close(network.logits(samples.inputs), expected)
    hits = (expected.argmax(1) == samples.labels).float().mean()
    assert network.accuracy(samples) == pytest.approx(float(hits))


def test_a_step_is_that_of_autograd_and_sgd(digits):
    network, samples = Classifier.fresh([20, 15], generator()), few(digits)
    twin = [w.clone().requires_grad_() for w in network.weights]
    optimizer = torch.optim.SGD(twin, lr=1e-2)
    for _ in range(3):
        network.descend(samples.inputs, samples.labels, Descent(1, 12, 1e-2), generator())
        optimizer.zero_grad()
        functional.cross_entropy(plain_logits(twin, samples.inputs[:, :-1]), samples.labels, reduction="sum").backward()
        optimizer.step()
    for mine, other in zip(network.weights, twin, strict=True):
        torch.testing.assert_close(mine, other.detach(), rtol=1e-5, atol=1e-6)


def test_dropout_drops_the_right_share_and_its_step_is_that_of_autograd(digits):
    network, samples = Classifier.fresh([200, 150], generator()), few(digits)
    how = Descent(1, 12, 1e-2, drop_inputs=0.2, drop_hidden=0.5)
    draws = generator(1)
    masks = []
    for weight, share in zip(network.weights, (0.2, 0.5, 0.5), strict=True):
        mask = _drop(torch.ones(12, weight.shape[1]), share, draws)
        assert mask.mean() == pytest.approx(1, abs=0.06) and bool((mask[:, -1] == 1).all())
        torch.testing.assert_close(mask[:, :-1].unique(), torch.tensor([0, 1 / (1 - share)]))
        masks.append(mask[:, :-1])
    twin = [w.clone().requires_grad_() for w in network.weights]
    signal = samples.inputs[:, :-1]
    for layer, (weight, mask) in enumerate(zip(twin, masks, strict=True)):
        signal = functional.linear((signal.relu() if layer else signal) * mask, weight[:, :-1], weight[:, -1])
    functional.cross_entropy(signal, samples.labels, reduction="sum").backward()
    network.descend(samples.inputs, samples.labels, how, generator(1))
    for mine, other in zip(network.weights, twin, strict=True):
        torch.testing.assert_close(mine, (other - 1e-2 * other.grad).detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("estimator", ["exact", "sampled", "empirical"])
def test_the_fisher_is_the_mean_of_squared_gradients_of_single_samples(digits, estimator):
    network, samples = Classifier.fresh([20, 15], generator()), few(digits)
    with torch.no_grad():
        network.weights[-1] *= 10  # far from uniform
    found = network.fisher(samples, estimator, generator(3))
    probabilities = network.logits(samples.inputs).detach().softmax(1)
    drawn = torch.multinomial(probabilities, 1, generator=generator(3)).squeeze(1)
    expected = [torch.zeros_like(w) for w in network.weights]
    for n, label in enumerate(samples.labels):
        for y in range(10):
            weight = {"exact": probabilities[n, y], "sampled": y == drawn[n], "empirical": y == label}[estimator]
            leaves = [w.clone().requires_grad_() for w in network.weights]
            log_p = plain_logits(leaves, samples.inputs[n : n + 1, :-1]).log_softmax(1)[0, y]
            for total, gradient in zip(expected, torch.autograd.grad(log_p, leaves), strict=True):
                total += float(weight) * gradient.square() / len(samples.labels)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-9)


def test_labelled_log_likelihood():
    logits = torch.tensor([[0.0, 0.0], [np.log(3.0), 0.0]])
    found = labelled_log_likelihood(logits, torch.tensor([1, 0]))
    assert found.exp().tolist() == pytest.approx([0.5, 0.75])


def test_a_subset_repeats_nothing(digits):
    samples = Samples.of(digits.train)
    part = subset(samples, 50, generator())
    assert part.inputs.shape == (50, 785) and len({tuple(row) for row in part.inputs.tolist()}) == 50
    assert len(subset(samples, 10**6, generator()).labels) == len(samples.labels)


def test_learning_lowers_the_error_and_sees_every_sample_in_every_epoch(digits):
    task, network = Task.of(digits), Classifier.fresh([50], generator())
    marks = []
    learn(
        network, task.train, Descent(10, 30, 1e-2), NoConsolidation(), generator(1),
        lambda: marks.append(network.accuracy(task.train)),
    )  # fmt: skip
    assert len(marks) == 10 and marks[-1] > 0.95 and network.accuracy(task.test) > 0.7
    # With a rate of 0 and a consolidator that counts, an epoch is a pass.
    seen = []

    class Counter(Classifier):
        def descend(self, inputs, labels, how, generator, rate):
            seen.append(inputs)

    learn(Counter(network.weights), task.train, Descent(1, 64, 0.0), NoConsolidation(), generator(2))
    assert sorted(torch.cat(seen).sum(1).tolist()) == sorted(task.train.inputs.sum(1).tolist())
    assert [len(each) for each in seen] == [64] * 6 + [16]


def test_strength_0_is_no_penalty_and_a_great_one_freezes(digits):
    task = Task.of(digits)

    def learned(consolidator_of):
        network = Classifier.fresh([20], generator())
        consolidator = consolidator_of(network.weights)
        consolidator.leave(0, network.weights, lambda: [torch.ones_like(w) for w in network.weights])
        consolidator.enter(1)
        learn(network, task.train, Descent(1, 64, 1e-2), consolidator, generator(1))
        return network.weights

    free = learned(lambda weights: NoConsolidation())
    none = learned(lambda weights: AnchoredConsolidator(EWC(), ProximalStep(), weights, ewc_lambda=0.0))
    frozen = learned(lambda weights: AnchoredConsolidator(EWC(), ProximalStep(), weights, ewc_lambda=1e9))
    start = Classifier.fresh([20], generator()).weights
    assert all(torch.equal(a, b) for a, b in zip(free, none, strict=True))
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(frozen, start, strict=True))
    assert not torch.allclose(free[0], start[0], atol=1e-3)


def test_a_steady_pull_is_the_implicit_one_while_rates_and_anchors_stay(digits):
    weights = Classifier.fresh([20], generator()).weights
    strong = [torch.rand(w.shape, generator=generator(1)) * 10 for w in weights]
    strong[0][:5] = 1e37
    twins = {}
    for step in (ProximalStep(), SteadyProximalStep()):
        mine = [w.clone() for w in weights]
        consolidator = AnchoredConsolidator(EWC(), step, mine, ewc_lambda=3.0)
        for task, rate in enumerate((0.1, 0.1, 0.02)):
            consolidator.leave(task, mine, lambda task=task: [s * (task + 1) for s in strong])
            consolidator.enter(task + 1)
            rates = [torch.tensor(rate)] * len(mine)
            same = partial(lambda rates: rates, rates)
            for _ in range(3):
                for w in mine:
                    w += 0.1
                consolidator.after_step(mine, same)
        twins[type(step)] = mine
    for one, other in zip(twins[ProximalStep], twins[SteadyProximalStep], strict=True):
        assert torch.equal(one, other)
    assert not torch.allclose(twins[SteadyProximalStep][0], weights[0])


def test_dropping_the_same_units_for_all_samples_is_a_step_of_the_network_without_them(digits):
    network, samples = Classifier.fresh([20, 15], generator()), few(digits)
    before = [w.clone() for w in network.weights]
    network.descend(
        samples.inputs, samples.labels, Descent(1, 12, 1e-2, drop_hidden=0.4, shared_drop=True), generator(1)
    )
    draws = generator(1)
    first, second = (torch.randperm(n, generator=draws)[: n - round(0.4 * n)] for n in (20, 15))
    masks = [torch.zeros(20), torch.zeros(15)]
    for mask, kept in zip(masks, (first, second), strict=True):
        mask[kept] = 1 / 0.6
    twin = [w.clone().requires_grad_() for w in before]
    signal = samples.inputs[:, :-1]
    for layer, weight in enumerate(twin):
        signal = functional.linear(signal.relu() * masks[layer - 1] if layer else signal, weight[:, :-1], weight[:, -1])
    functional.cross_entropy(signal, samples.labels, reduction="sum").backward()
    for mine, other in zip(network.weights, twin, strict=True):
        torch.testing.assert_close(mine, (other - 1e-2 * other.grad).detach(), rtol=1e-5, atol=1e-6)
    assert len({tuple(row) for row in (network.weights[0] != before[0]).any(1).nonzero().tolist()}) == 12


def test_a_mixture_holds_every_task_as_it_is_alone(digits):
    places = random_places(3, 0)
    mixed = Mixture.of(digits.train, places, 0.1)
    assert len(mixed) == 3 * 400
    inputs, labels = mixed[torch.arange(1200)]
    alone = [Samples.of(digits.train, each, 0.1) for each in places]
    assert torch.equal(inputs, torch.cat([each.inputs for each in alone]))
    assert torch.equal(labels, torch.cat([each.labels for each in alone]))


@pytest.mark.parametrize("method", ["ewc", "online_ewc"])
def test_a_run_that_was_stopped_goes_on_from_the_last_finished_task(digits, tmp_path, method):
    settings = Settings(1, 20, 2, 20, 1e-2, 100.0, 0.1, "sampled", 100, drop_hidden=0.2)
    whole = Experiment(digits, random_places(4, 0), settings, 0, lambda line: None)
    expected = whole.learn(method, whole.network(), whole.tasks)
    kept = tmp_path / "kept.pt"
    part = whole.learn(method, whole.network(), range(2), kept=kept)
    network, told = whole.network(), []
    rest = Experiment(digits, whole.places, settings, 0, told.append).learn(method, network, whole.tasks, kept=kept)
    assert part == expected[:2] and rest == expected and len(told) == 2


def test_what_was_learned_and_what_is_left_of_it():
    one, other = [[0.9], [0.8, 0.7]], [[0.9], [0.6, 0.7]]
    shown = learned_and_forgotten({"ewc": [one, other], "joint": [[[0.9, 0.8]]]})
    columns = [list(column.cells) for column in shown.columns[1:]]
    # 12.706 standard errors of the two means .75 and .65
    assert columns == [["0.8000", ""], ["0.7000", "0.8500"], ["0.6353", ""], ["0.1000", ""]]


def test_a_finished_run_is_not_repeated(tmp_path):
    asked = []

    def compute(unfinished):
        asked.append(unfinished)
        unfinished.write_bytes(b"half")
        return {"table": [[0.5]]}

    runs = Runs(tmp_path / "runs.jsonl")
    one = runs.get({"method": "ewc", "seed": 0, "settings": {"width": 5}}, compute)
    same = runs.get({"method": "ewc", "seed": 0, "settings": {"width": 5}}, compute)
    runs.get({"method": "ewc", "seed": 0, "settings": {"width": 6}}, compute)
    runs.get({"method": "ewc", "seed": 1, "settings": {"width": 5}}, compute)
    assert one == same and one["table"] == [[0.5]] and one["seconds"] >= 0
    assert len(set(asked)) == len(asked) == 3 and not any(path.exists() for path in asked)


def test_a_torn_line_costs_no_run_but_its_own(tmp_path):
    path = tmp_path / "runs.jsonl"

    def answer(seed, found):
        return Runs(path).get({"seed": seed}, lambda unfinished: {"found": found})["found"]

    assert answer(0, 1) == answer(0, 2) == answer(1, 1) == 1
    path.write_bytes(path.read_bytes()[:-9])
    assert [answer(0, 3), answer(1, 3), answer(1, 4), answer(0, 4)] == [1, 3, 3, 1]


def test_the_rate_rises_and_falls():
    how = Descent(5, 64, 0.8, last_rate=0.25, warm_up=1.0)
    assert [how.rate_at(passes) for passes in (0, 0.5, 1, 3, 5)] == pytest.approx([0, 0.4, 0.8, 0.5, 0.2])
    assert Descent(1, 64, 0.8).rate_at(0) == Descent(1, 64, 0.8).rate_at(0.7) == 0.8


def test_a_task_leaves_the_mean_of_its_last_epochs_weights(digits):
    """Ten times in each of the epochs that are averaged; the epochs before are those of a run without."""
    samples = Task.of(digits).train
    how = Descent(epochs=3, batch=16, rate=0.01, averaged=2)
    seen = []

    class Watched(NoConsolidation):
        def after_step(self, weights, rates):
            seen.append([w.clone() for w in weights])

    networks = [Classifier.fresh([8], torch.Generator().manual_seed(1)) for _ in range(2)]
    learn(networks[0], samples, how, Watched(), torch.Generator().manual_seed(2))
    learn(networks[1], samples, replace(how, averaged=0), NoConsolidation(), torch.Generator().manual_seed(2))
    steps = len(seen) // 3
    ends = [epoch * steps + (tenth + 1) * steps // 10 - 1 for epoch in (1, 2) for tenth in range(10)]
    for layer, (mean, last) in enumerate(zip(networks[0].weights, networks[1].weights, strict=True)):
        torch.testing.assert_close(mean, torch.stack([seen[end][layer] for end in ends]).mean(0))
        assert torch.equal(seen[-1][layer], last) and not torch.equal(mean, last)


def test_ewc_forgets_less_than_sgd_on_the_sample(digits):
    settings = Settings(2, 30, 8, 10, 1e-2, 1000.0, 0.1, "exact", 400)
    told = []
    experiment = Experiment(digits, random_places(4, 0), settings, 0, told.append)
    network = experiment.network()
    before = experiment.learn("sgd", network, experiment.tasks[:1])
    ewc, sgd = (experiment.learn(method, network.copy(), experiment.tasks[1:])[-1] for method in ("ewc", "sgd"))
    assert len(told) == 7 and before[0][0] > 0.7
    assert all(remembered > forgot + 0.05 for remembered, forgot in zip(ewc[:3], sgd[:3], strict=True))
    assert sgd[3] > ewc[3] > 0.4


# -- the command ----------------------------------------------------------------------------------------------

FAST = ["--epochs", "1", "--width", "20", "--fisher_samples", "100", "--seed", "3"]


def run(capsys, tmp_path, *arguments):
    picture = tmp_path / "picture.png"
    assert main([*arguments, "--data", str(SAMPLE), "--json", "--plot", str(picture), *FAST]) == 0
    assert picture.stat().st_size > 10_000
    return json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.mark.parametrize(
    ("figure", "lengths"),
    [
        ("a", {"ewc": 3, "l2": 3, "sgd": 3}),
        ("b", {"ewc": 10, "online_ewc": 10, "l2": 10, "sgd_dropout": 10, "joint": 1}),
        ("c", {f"{kind}_{pair}": 6 for kind in ("overlap", "sampled") for pair in ("self", "8", "26")}),
    ],
)
def test_the_last_line_is_json_with_the_promised_keys(capsys, tmp_path, figure, lengths):
    found = run(capsys, tmp_path, "--figure", figure)
    assert {name: len(found[name]) for name in lengths} == lengths
    assert all(0 <= value <= 1.000001 for name in lengths for value in found[name])
    assert all(len(values) == lengths[name] for name, values in PAPER[figure].items())
    assert found["settings"]["width"] == 20 and found["seeds"] == [3] and found["seconds"] >= 0


def test_sensitivity_covers_three_decades(capsys, tmp_path):
    found = run(capsys, tmp_path, "--figure", "a", "--sensitivity")
    assert max(found["lambda"]) / min(found["lambda"]) == pytest.approx(1000)
    assert all(len(found[f"task_{i}"]) == len(found["lambda"]) for i in (1, 2, 3))


def test_the_seed_decides(capsys, tmp_path):
    one, same = (run(capsys, tmp_path, "--figure", "a", "--held_out", "100") for _ in range(2))
    other = run(capsys, tmp_path, "--figure", "a", "--held_out", "100", "--l2", "7")
    for found in (one, same, other):
        del found["seconds"]
    assert one == same and other["settings"]["l2"] == 7 and other["ewc"] == one["ewc"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--epochs", "0"], "--epochs"),
        (["--rate", "-1"], "--rate"),
        (["--lambda", "-1"], "--lambda"),
        (["--lambda", "nan"], "--lambda"),
        (["--threads", "-1"], "--threads"),
        (["--threads", "100000"], "--threads: must lie between 0 and 1,024"),
        (["--digits", "401"], "of 400 training digits the first 4 or more can be taken, not 401"),
        (["--digits", "3"], "not 3"),
        (["--plot", "runs/a"], "--plot: the file's name must end with .png or .svg or .pdf, is runs/a"),
        (["--log", "log"], "--log goes with --figure b or c"),
        (["--methods", "ewc"], "--methods goes with --figure b"),
        (["--figure", "c", "--methods", "ewc"], "--methods goes with --figure b"),
        (["--seed", "0", "1"], "--seed"),
        (["--held_out", "400"], "held out"),
        (["--held_out", "-1"], "--held_out"),
        (["--sensitivity", "--figure", "b"], "--sensitivity"),
        (["--data", "nowhere/mnist"], "nowhere"),
    ],
)
def test_mistakes_are_one_sentence(arguments, told, capsys):
    assert code_of(main, ["--figure", "a", "--data", SAMPLE, *arguments]) == 2
    complaint = capsys.readouterr().err.strip()
    assert told in complaint and "\n" not in complaint


@pytest.mark.parametrize("arguments", [["--figure", "d"], [], ["--figure", "a", "--epochs", "two"], ["--nothing"]])
def test_what_the_parser_refuses_is_one_line_too(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
