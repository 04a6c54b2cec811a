"""One task's memory: a first-in-first-out ring of single frames, from which stacks are put together again.

Axes: B emulators in lockstep, S stacked frames (newest last), H × W pixels, N samples. A *row* is one vector
step of the B emulators: B transitions. Rows are stored in blocks of `block_rows`; the newest block grows, the
others are immutable. Every block also holds the older frames of its first row's stacks, so that it can be
read, saved and dropped by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from envs.timestep import TimeStep
from replay.device_cache import DeviceFrameCache
from replay.frames import FrameBlock
from replay.horizon import Horizon
from replay.rows import BLACK, RowTable
from replay.transition import FrameBatch, Transition
from replay.windows import Windows, n_step_windows

_ROUNDS = 8  # of rejection, before the valid pairs are enumerated
_CHUNK = 1 << 14  # pairs examined at a time when enumerating
_MIRROR_SLACK = 1.05  # for the older frames of stacks that begin anew within a block
_BLOCK = 32  # an address is (block's number << _BLOCK) + frame's number within it


class ReplayBuffer:
    """The newest `capacity` transitions of one task, each frame stored once.

    *Stack law*: a sampled observation is byte for byte the one the agent saw. Frames that do not continue the
    previous row's stack (after a reset, a seam, at a block's start) are recognised by comparing pixels, not
    by flags, and what is older than them is stored beside them (nothing, where it is black).

    *Seams*: a row directly follows the ring's previous row if their times differ by exactly 1. Otherwise
    another task's rows came between; no window crosses the seam, and the row before it only serves as a
    state to bootstrap from (its own transition is lost, unless it was terminal).

    *Eviction* is exact to the row: the oldest row cannot be sampled any more once the newer ones fill the
    capacity. Its memory is freed with its block, so up to one block of dead rows is kept.
    """

    def __init__(
        self,
        capacity: int,
        n_step: int | Horizon = 1,
        gamma: float = 0.99,
        block_rows: int = 256,
        compress: bool = True,
        make_mirror: Callable[[int, int, int], DeviceFrameCache | None] | None = None,
    ) -> None:
        """capacity: transitions, rounded down to whole rows. n_step, gamma: see `replay.windows`; n may fall as
        transitions come (`replay.horizon`). block_rows: rows per block. compress: lz4 (a fifth of the memory on
        average) or raw frames (faster to sample). make_mirror: (slots, H, W) -> a mirror to sample from, if there
        is room for one. B, S, H and W are those of the first observation. ValueError if a number is out of range."""
        longest = n_step.first if isinstance(n_step, Horizon) else n_step
        if capacity < 1 or longest < 1 or block_rows < 1 or not 0 <= gamma <= 1:
            raise ValueError("A replay needs capacity, n_step and block_rows ≥ 1 and gamma in [0, 1].")
        self._horizon = n_step if isinstance(n_step, Horizon) else Horizon(n_step, n_step)
        self._capacity, self._gamma = capacity, gamma
        self._block_rows, self._compress = block_rows, compress
        self._shape: tuple[int, ...] = ()  # B, S, H, W
        self._head = 0  # rows ever added: the number of the next row
        self._blocks: dict[int, FrameBlock] = {}  # by number, oldest first; j starts at row j · block_rows
        self._rows = RowTable(1, 1)
        self._previous = np.zeros(0, np.uint8)  # the newest row's observation
        self._sealed_bytes = 0
        self._sampleable_row = -1  # one where a transition that can be sampled is known to start
        self._make_mirror = make_mirror
        self._mirror: DeviceFrameCache | None = None

    def __len__(self) -> int:
        """Transitions held: rows not evicted × B. Includes the few that cannot be sampled: those before an
        interruption or a seam and, at the newest end, those whose window is still open."""
        return (self._head - self._first) * self._rows.batch

    @property
    def nbytes(self) -> int:
        """Bytes held by frames and columns, dead rows of the oldest block included."""
        if not self._blocks:
            return 0
        oldest, newest = next(iter(self._blocks)), self._blocks[self._head_block]
        frames = self._sealed_bytes + (0 if newest.sealed else newest.nbytes) + self._previous.nbytes
        return frames + (self._head - oldest * self._block_rows) * self._rows.row_bytes

    @property
    def full_blocks(self) -> int:
        """The number of immutable blocks."""
        return self._head // self._block_rows - next(iter(self._blocks), 0)

    def add(self, time: int, now: TimeStep, action: np.ndarray, following: TimeStep) -> None:
        """Remember that `action` (integers < 256 [B]), taken at `now`, led to `following`.

        time: the run's count of vector steps, increasing from call to call; it tells neighbours from seams.
        ValueError if it does not increase, if the observation's shape changed, or if the capacity cannot hold
        a single window of n steps.
        """
        observation = now.observation
        if not self._shape:
            self._allocate(observation.shape)
        rows, row = self._rows, self._head
        slot, before = row % rows.slots, (row - 1) % rows.slots
        if observation.shape != self._shape:
            raise ValueError(f"The replay holds observations {self._shape}, not {observation.shape}.")
        if row and time <= rows.time[before]:
            raise ValueError(f"Rows must come in order of time: {time} after {rows.time[before]}.")
        linked = bool(row) and time == rows.time[before] + 1
        opens = row % self._block_rows == 0
        if opens:
            self._blocks[row // self._block_rows] = FrameBlock(observation[0, 0].nbytes, self._compress)
        block = self._blocks[row // self._block_rows]
        stored = len(block)

        continues = self._continues(observation) if linked and not opens else np.zeros(rows.batch, np.bool_)
        rows.age[slot] = np.where(continues, np.minimum(rows.age[before] + 1, self._shape[1] - 1), 0)
        rows.context[slot] = BLACK
        for b in np.flatnonzero(~continues):
            rows.context[slot, b] = self._store_context(block, observation[b, :-1])
        rows.frame[slot] = len(block)
        for frame in observation[:, -1]:
            block.append(frame)
        if self._mirror:
            self._mirror.append(row // self._block_rows, self._frames_of(block, stored))
        rows.action[slot], rows.reward[slot] = action, following.reward
        rows.discount[slot], rows.cut[slot] = following.discount, following.interrupted
        rows.time[slot], rows.linked[slot] = time, linked
        self._previous[:] = observation
        self._head = row + 1
        if self._head % self._block_rows == 0:
            block.seal()
            self._sealed_bytes += block.nbytes
        while (next(iter(self._blocks)) + 1) * self._block_rows <= self._first:
            self._drop()

    def sample(self, size: int, rng: np.random.Generator) -> Transition:
        """`size` transitions, independent and uniform over all that can be sampled (with replacement), from the
        mirror if there is one."""
        pairs, windows = self._draw(size, rng)
        if self._mirror and not self._mirror.full:
            return self._mirrored(pairs, windows)
        return self._gather(pairs, windows).stacked()

    def minibatches(self, size: int, count: int, rng: np.random.Generator) -> Iterator[FrameBatch]:
        """The `size * count` transitions that `sample` would draw, `size` at a time, with observations as frames in
        host memory. They are drawn when the first is asked for and unpacked one by one; nothing may be added in
        between."""
        pairs, windows = self._draw(size * count, rng)
        for start in range(0, len(pairs), size):
            part = slice(start, start + size)
            yield self._gather(pairs[part], Windows(*(values[part] for values in windows)))

    def _draw(self, size: int, rng: np.random.Generator) -> tuple[np.ndarray, Windows]:
        """Where the windows of `size` transitions start, int64 [size] = row * B + emulator, and the windows.

        Which ones depends on `rng` and on the rows only, not on block_rows or compress. ValueError if there
        is none yet.
        """
        low, high = self._first * self._rows.batch, self._head * self._rows.batch
        pairs = rng.integers(low, high, size + size // 8 + 2) if low < high else np.zeros(0, np.int64)
        windows = self._windows(pairs)
        good = np.flatnonzero(windows.valid)
        for _ in range(_ROUNDS):
            if len(good) >= size or low == high:
                break
            pairs = np.concatenate([pairs[good], rng.integers(low, high, 2 * size)])
            windows = self._windows(pairs)
            good = np.flatnonzero(windows.valid)
        if len(good) < size:  # few are valid: draw the rest from a list of them
            everything = self.sampleable()
            if not len(everything):
                raise ValueError("The replay holds no transition that can be sampled yet.")
            pairs = np.concatenate([pairs[good], rng.choice(everything, size - len(good))])
            windows, good = self._windows(pairs), np.arange(size)
        good = good[:size]
        return pairs[good], Windows(*(values[good] for values in windows))

    def can_sample(self) -> bool:
        """Whether `sample` finds anything. What it finds can be sampled until it is evicted, so that rows are looked
        at, newest first, only once in a while."""
        high = self._head * self._rows.batch
        while self._blocks and self._sampleable_row < self._first and high > self._first * self._rows.batch:
            pairs = np.arange(max(high - _CHUNK, self._first * self._rows.batch), high)
            valid = pairs[self._windows(pairs).valid]
            self._sampleable_row = int(valid[-1]) // self._rows.batch if len(valid) else -1
            high = int(pairs[0])
        return bool(self._blocks) and self._sampleable_row >= self._first

    def count_sampleable(self) -> int:
        """How many transitions `sample` chooses from; looks at every row (milliseconds per 100 000)."""
        return len(self.sampleable())

    def sampleable(self) -> np.ndarray:
        """The numbers int64 [N] of all transitions that `sample` chooses from: row · B + emulator, in order of time."""
        low, high = self._first * self._rows.batch, self._head * self._rows.batch
        chunks = [np.arange(i, min(i + _CHUNK, high)) for i in range(low, high, _CHUNK)]
        return np.concatenate([np.zeros(0, np.int64), *(c[self._windows(c).valid] for c in chunks)])

    def transitions(self, numbers: np.ndarray) -> FrameBatch:
        """Those of `sampleable` with these numbers, int64 [N]."""
        return self._gather(numbers, self._windows(numbers))

    def drop_oldest_block(self) -> None:
        """Free the oldest block, with its transitions. ValueError if no other full block would remain."""
        if self.full_blocks < 2:
            raise ValueError("The last full block of a replay cannot be dropped.")
        self._drop()

    def state_dict(self) -> dict[str, Any]:
        """A snapshot that later additions do not alter.

        `segments` maps a name to each immutable block; a name stands for the same content for the life of the
        ring, and the frames in it are shared, not copied. `growing` is a copy of the newest block, or None.
        """
        sealed = {f"{number:09d}": number for number, block in self._blocks.items() if block.sealed}
        growing = [number for number, block in self._blocks.items() if not block.sealed]
        return {
            "segments": {name: self._block_state(number) for name, number in sealed.items()},
            "growing": self._block_state(growing[0]) if growing else None,
            "previous": torch.from_numpy(self._previous.copy()) if self._shape else None,
            "head": self._head,
            "capacity": self._capacity,
            "block_rows": self._block_rows,
            "compress": int(self._compress),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Become the ring that `state` was taken from. ValueError if its storage was set up differently."""
        for name in ("capacity", "block_rows", "compress"):
            mine = getattr(self, f"_{name}")
            if state[name] != mine:
                raise ValueError(f"The saved replay has {name} = {state[name]}, not {mine}.")
        self._shape, self._rows, self._blocks, self._sealed_bytes = (), RowTable(1, 1), {}, 0
        self._head, self._sampleable_row = state["head"], -1
        if state["previous"] is None:
            return
        self._allocate(tuple(state["previous"].shape))
        self._previous[:] = state["previous"].numpy()
        saved = sorted(state["segments"].values(), key=lambda segment: segment["number"])
        for segment in saved + ([state["growing"]] if state["growing"] else []):
            block = FrameBlock(self._previous[0, 0].nbytes, self._compress)
            block.load_state_dict(segment["frames"])
            self._blocks[segment["number"]] = block
            self._sealed_bytes += block.nbytes if block.sealed else 0
            self._rows.write(segment["number"] * self._block_rows, segment["rows"])
            if self._mirror:
                self._mirror.append(segment["number"], self._frames_of(block, 0))

    # -- rows ------------------------------------------------------------------------------------------------

    @property
    def _first(self) -> int:
        """The oldest row that is not evicted."""
        oldest = next(iter(self._blocks), 0) * self._block_rows
        return max(oldest, self._head - self._capacity // self._rows.batch)

    @property
    def _head_block(self) -> int:
        return (self._head - 1) // self._block_rows

    def _allocate(self, shape: tuple[int, ...]) -> None:
        rows, longest = self._capacity // shape[0], self._horizon.first
        if rows <= longest:
            raise ValueError(
                f"A replay of {self._capacity} transitions is too small: "
                f"{longest}-step windows of {shape[0]} emulators need {(longest + 1) * shape[0]}."
            )
        blocks = -(-rows // self._block_rows) + 1
        self._shape, self._previous = shape, np.zeros(shape, np.uint8)
        self._rows = RowTable((blocks + 1) * self._block_rows, shape[0])
        frames = blocks * shape[0] * (self._block_rows + shape[1] - 1)
        slots = int(frames * _MIRROR_SLACK) + 1  # and one that is black
        self._mirror = self._make_mirror(slots, *shape[2:]) if self._make_mirror else None

    def _frames_of(self, block: FrameBlock, start: int) -> np.ndarray:
        """uint8 [K, H, W]: the block's frames from number `start` on."""
        frames = bytearray().join(block.read(i) for i in range(start, len(block)))
        return np.frombuffer(frames, np.uint8).reshape(-1, *self._shape[2:])

    def _continues(self, observation: np.ndarray) -> np.ndarray:
        """bool [B]: the older frames of the stack are the newer ones of the previous row's."""
        older, expected = observation[:, :-1], self._previous[:, 1:]
        if np.array_equal(older, expected):  # the usual case, several times faster
            return np.ones(len(older), np.bool_)
        return np.array([np.array_equal(a, b) for a, b in zip(older, expected, strict=True)])

    @staticmethod
    def _store_context(block: FrameBlock, older: np.ndarray) -> int:
        if not older.any():
            return BLACK
        first = len(block)
        for frame in older:
            block.append(frame)
        return first

    def _drop(self) -> None:
        number = next(iter(self._blocks))
        self._sealed_bytes -= self._blocks.pop(number).nbytes
        if self._mirror:
            self._mirror.drop(number)

    def _block_state(self, number: int) -> dict[str, Any]:
        start = number * self._block_rows
        rows = self._rows.read(start, min(self._block_rows, self._head - start))
        return {"number": number, "frames": self._blocks[number].state_dict(), "rows": rows}

    # -- sampling --------------------------------------------------------------------------------------------

    def _windows(self, pairs: np.ndarray) -> Windows:
        """The windows that start at pairs int64 [N] = row · B + emulator."""
        start, emulator = np.divmod(pairs, self._rows.batch)
        steps = start[:, None] + np.arange(self._horizon(self._head * self._rows.batch))
        slots = steps % self._rows.slots
        successors = (steps + 1) % self._rows.slots
        at = (slots, emulator[:, None])
        followed = self._rows.linked[successors] & (steps < self._head - 1)
        newest = steps == self._head - 1
        rows = self._rows
        return n_step_windows(rows.reward[at], rows.discount[at], rows.cut[at], followed, newest, self._gamma)

    def _stacks(self, pairs: np.ndarray, windows: Windows) -> tuple[np.ndarray, np.ndarray]:
        """Blocks int64 [2 N] and numbers of frames in them int64 [2 N, S], of the windows' first states, then of the
        states they bootstrap from."""
        start, emulator = np.divmod(pairs, self._rows.batch)
        end = start + np.where(windows.discount != 0, windows.length, 0)
        row = np.concatenate([start, end])
        numbers = self._rows.stacks(row, np.concatenate([emulator, emulator]), self._shape[1])
        return row // self._block_rows, numbers

    def _outcomes(self, pairs: np.ndarray, windows: Windows) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Actions, rewards and discounts of the windows."""
        start, emulator = np.divmod(pairs, self._rows.batch)
        action = self._rows.action[start % self._rows.slots, emulator].astype(np.int64)
        return torch.from_numpy(action), torch.from_numpy(windows.reward), torch.from_numpy(windows.discount)

    def _mirrored(self, pairs: np.ndarray, windows: Windows) -> Transition:
        """From the frames on the accelerator."""
        assert self._mirror is not None
        blocks, numbers = self._stacks(pairs, windows)
        pixels = self._mirror.gather(np.repeat(blocks, numbers.shape[1]), numbers.ravel())
        now, following = pixels.view(2, len(pairs), *self._shape[1:])
        return Transition(now, *self._outcomes(pairs, windows), following)

    def _gather(self, pairs: np.ndarray, windows: Windows) -> FrameBatch:
        """One pass over the frames of both ends of the windows; each is unpacked once."""
        blocks, numbers = self._stacks(pairs, windows)
        addresses = np.where(numbers == BLACK, BLACK, (blocks << _BLOCK)[:, None] + numbers)
        unique, places = np.unique(addresses, return_inverse=True)
        mask, black = (1 << _BLOCK) - 1, bytes(self._previous[0, 0].nbytes)
        unpacked = [
            black if address == BLACK else self._blocks[address >> _BLOCK].read(address & mask)
            for address in unique.tolist()
        ]
        frames = np.frombuffer(bytearray().join(unpacked), np.uint8).reshape(-1, *self._shape[2:])
        now, following = places.reshape(2, len(pairs), -1)
        return FrameBatch(frames, now, following, *self._outcomes(pairs, windows))
