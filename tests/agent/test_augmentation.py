"""Random shifts against a slow twin that looks every pixel up."""

import torch

from agent import augmentation
from agent.augmentation import random_offsets, shift


def observations(count=6, side=12):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (count, 4, side, side), generator=generator, dtype=torch.uint8)


def test_every_result_is_one_of_the_shifts_with_repeated_edges():
    x = observations()
    shifted = shift(x, random_offsets(len(x), 3, torch.Generator().manual_seed(1))[0])
    rows = torch.arange(12)
    found = set()
    for i in range(len(x)):
        matches = [
            (dy, dx)
            for dy in range(-3, 4)
            for dx in range(-3, 4)
            if torch.equal(shifted[i], x[i][:, (rows + dy).clamp(0, 11)][:, :, (rows + dx).clamp(0, 11)])
        ]
        assert len(matches) == 1
        found.add(matches[0])
    assert len(found) > 1  # samples move independently


def test_all_shifts_occur_equally_often():
    x = observations(1, 6).expand(4900, -1, -1, -1).contiguous()
    shifted = shift(x, random_offsets(len(x), 3, torch.Generator().manual_seed(2))[1])
    kinds, counts = torch.unique(shifted.flatten(1), dim=0, return_counts=True)
    assert len(kinds) == 49
    assert ((counts - 100.0) ** 2 / 100).sum() < 84  # chi-square, 48 degrees of freedom, p = 0.001


def test_no_shift_is_the_identity_and_draws_nothing():
    x, generator = observations(), torch.Generator()
    before = generator.get_state()
    now, following = random_offsets(len(x), 0, generator)
    assert shift(x, now) is x and shift(x, following) is x
    assert torch.equal(generator.get_state(), before)


def test_the_gather_for_accelerators_shifts_alike():
    x = observations()
    offsets, _ = random_offsets(len(x), 3, torch.Generator().manual_seed(1))
    assert torch.equal(augmentation._gathered(x, offsets), shift(x, offsets))
