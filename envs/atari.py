"""B emulators of one Atari game, in C++ threads, with an exact and tiny state.

The emulators are ale-py's vector environment (`ALEVectorInterface`, which `AtariVectorEnv` wraps), used
directly so that a ROM may lie in any folder. What was found in ale-py 0.12.1 and is allowed for here:

* an action index beyond the game's own set hangs the process for ever, and skiing and lost_luggage have 9
  actions even with `full_action_space`: indices are checked and translated, an action the game lacks being a
  no-op, as in ALE itself;
* `episodic_life` resets the whole game at a life loss, and `life_loss_info` mixes life losses with ends,
  hides the loss of the last life, and turns a frame cap into an end: both stay off. Then `terminated` is
  exactly ALE's game_over, `truncated` is exactly the frame cap (an end on the same frame wins), and a life
  loss is a step without either after which `lives` is lower (afterwards they are the next game's);
* its state cannot be saved, and ALE's own clones diverge after a restore. Replaying the actions from the same
  seed never does, so the state is the seed and the actions.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ale_py
import numpy as np
from ale_py import ALEVectorInterface
from numpy.typing import NDArray

from envs.roms import find_rom
from envs.states import tensor
from envs.timestep import ACTIONS, SIZE, TimeStep, checked_action


@dataclass(frozen=True)
class AtariSettings:
    """How every game is played and shown.

    sticky_actions      probability, at every frame, that the emulator repeats its previous action [0, 1)
    noop_max            a game begins with 0..noop_max no-ops, drawn uniformly (ale-py's own count excludes
                        its limit, Gymnasium's draws 1..noop_max)
    fire_on_reset       press FIRE once before these no-ops (one fewer of them then), in any game that has it
    life_loss_terminal  a lost life has discount 0: an end for learning, although the game goes on
    max_episode_frames  environment frames after which a game is cut off, no-ops not counted; 60 are a second
    frame_skip          environment frames that an action is held for; a picture is the maximum of the last 2
    stack               pictures in an observation
    threads             emulator threads; 0 = one per emulator, at most one per processor. Changes no result
    """

    sticky_actions: float = 0.0
    noop_max: int = 30
    fire_on_reset: bool = False
    life_loss_terminal: bool = True
    max_episode_frames: int = 108_000
    frame_skip: int = 4
    stack: int = 4
    threads: int = 0

    def __post_init__(self) -> None:
        if not 0.0 <= self.sticky_actions < 1.0:
            raise ValueError(f"sticky_actions must be a probability in [0, 1), not {self.sticky_actions}.")
        for name, least in (
            ("noop_max", 0),
            ("max_episode_frames", 1),
            ("frame_skip", 1),
            ("stack", 1),
            ("threads", 0),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, not {getattr(self, name)}.")


class AtariBatch:
    """An `EmulatorBatch` of `count` emulators of one game, seeded with seed, seed + 1, … (modulo 2^31).

    Pictures are ALE's grey values, 84 x 84 by area averaging. Between `send` and `receive` the emulators run
    in their own threads, without Python's lock. A life loss on the very step of the frame cap cannot be told
    and counts as cut.
    """

    def __init__(
        self,
        game: str,
        count: int,
        seed: int,
        settings: AtariSettings,
        rom_dir: str | Path | None = None,
    ) -> None:
        self.game = game
        self.num_envs = count
        self.seed = seed
        self.settings = settings
        self.rom_dir = rom_dir
        self.actions = ACTIONS
        self.frames_per_step = count * settings.frame_skip
        self._emulators: ALEVectorInterface | None = None
        self._now: TimeStep | None = None
        self._pending = False
        self.final_observation: NDArray[np.uint8] | None = None

    @property
    def now(self) -> TimeStep:
        """The latest time step; RuntimeError before `reset` or `load_state_dict`."""
        if self._now is None:
            raise RuntimeError("the emulators have not been started: call reset() or load_state_dict() first")
        return self._now

    def reset(self) -> TimeStep:
        """Start (again) from the seed. About 0.1 s per emulator; always the same time step."""
        self.close()
        self._emulators = vector_interface(self.game, self.num_envs, self.settings, self.rom_dir)
        self._action_index = action_table(self._emulators)
        self._strength = np.ones(self.num_envs, dtype=np.float32)
        self._log = bytearray()
        seeds = (self.seed + np.arange(self.num_envs, dtype=np.int64)) % 2**31
        observation, info = self._emulators.reset(np.arange(self.num_envs), seeds)
        self._lives: NDArray[np.int32] = info["lives"]
        self.final_observation = None
        self._now = TimeStep(
            observation=observation,
            reward=np.zeros(self.num_envs, dtype=np.float32),
            discount=np.ones(self.num_envs, dtype=np.float32),
            first=np.ones(self.num_envs, dtype=np.bool_),
        )
        return self._now

    def send(self, action: NDArray[Any]) -> None:
        """Begin one step with an integer action [B] in 0..17; returns at once."""
        checked = checked_action(action, self.num_envs)
        emulators = self._started("send")
        if self._pending:
            raise RuntimeError("a step is already under way: call receive() before the next send()")
        self._log += checked.astype(np.uint8).tobytes()
        emulators.send(self._action_index[checked], self._strength)
        self._pending = True

    def receive(self) -> TimeStep:
        """Wait for the step that was sent."""
        emulators = self._started("receive")
        if not self._pending:
            raise RuntimeError("no step is under way: call send() before receive()")
        self._pending = False  # first: Ctrl-C is raised where recv returns, and then nothing is under way any more
        result = emulators.recv()
        self._now = self._time_step(*result)
        return self._now

    def step(self, action: NDArray[Any]) -> TimeStep:
        self.send(action)
        return self.receive()

    def state_dict(self) -> dict[str, Any]:
        """The seed, the actions since (uint8 [T, B]), and what tells whether a replay comes out alike."""
        if self._pending:
            raise RuntimeError("a step is under way: call receive() before state_dict()")
        now = self.now
        return {
            "game": self.game,
            "num_envs": self.num_envs,
            "seed": self.seed,
            "settings": _outcome_settings(self.settings),
            "actions": tensor(np.array(self._log, dtype=np.uint8).reshape(-1, self.num_envs)),
            "digest": digest(now),
            "ale_py": ale_py.__version__,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replay the actions at full emulator speed and check that the last time step comes out the same."""
        mine = {"game": self.game, "num_envs": self.num_envs, "settings": _outcome_settings(self.settings)}
        for key, value in mine.items():
            if state[key] != value:
                raise ValueError(f"the saved emulators have {key} {state[key]}, but these have {value}.")
        self.seed = state["seed"]
        self.reset()
        self._replay(state["actions"].numpy())
        if digest(self.now) != state["digest"]:
            raise ValueError(
                f"{self.game} does not replay as it was saved: that was with ale-py {state['ale_py']}, and "
                f"this is {ale_py.__version__}; install the former to resume, or begin a new run."
            )

    def close(self) -> None:
        """Stop the emulators and join their threads; closing twice is harmless."""
        pending, self._pending = self._pending, False
        if pending and self._emulators is not None:
            self._emulators.recv()
        self._emulators = None  # its destructor joins the threads
        self._now = None

    def _replay(self, actions: NDArray[np.uint8]) -> None:
        """Take `actions` uint8 [T, B], which were valid once; only the last time step is made."""
        if len(actions) == 0:
            return
        emulators = self._started("replay")
        self._log += actions.tobytes()
        lives = self._lives
        for row in actions:
            self._lives = lives
            emulators.send(self._action_index[row], self._strength)
            result = emulators.recv()
            lives = result[4]["lives"]
        self._now = self._time_step(*result)

    def _time_step(
        self,
        observation: NDArray[np.uint8],
        reward: NDArray[np.int32],
        terminated: NDArray[np.bool_],
        truncated: NDArray[np.bool_],
        info: dict[str, NDArray[Any]],
    ) -> TimeStep:
        first = terminated | truncated
        end = terminated
        if self.settings.life_loss_terminal:
            end = end | (~first & (info["lives"] < self._lives))
        self._lives = info["lives"]
        self.final_observation = info.get("final_obs")
        return TimeStep(
            observation=observation,
            reward=reward.astype(np.float32),
            discount=(~end).astype(np.float32),
            first=first,
        )

    def _started(self, verb: str) -> ALEVectorInterface:
        if self._emulators is None:
            raise RuntimeError(f"the emulators have not been started: call reset() before {verb}()")
        return self._emulators


def vector_interface(
    game: str,
    count: int,
    settings: AtariSettings,
    rom_dir: str | Path | None,
    *,
    height: int = SIZE,
    width: int = SIZE,
    grayscale: bool = True,
) -> ALEVectorInterface:
    """ale-py's own emulators of `game`, with pictures of `height` x `width`."""
    return ALEVectorInterface(
        rom_path=find_rom(game, rom_dir),
        num_envs=count,
        frame_skip=settings.frame_skip,
        stack_num=settings.stack,
        img_height=height,
        img_width=width,
        grayscale=grayscale,
        maxpool=True,
        noop_max=settings.noop_max + 1,
        use_fire_reset=settings.fire_on_reset,
        episodic_life=False,
        life_loss_info=False,
        reward_clipping=False,
        max_episode_steps=settings.max_episode_frames,
        repeat_action_probability=settings.sticky_actions,
        full_action_space=True,
        batch_size=0,
        num_threads=settings.threads,
        thread_affinity_offset=-1,
        autoreset_mode="SameStep",
    )


def action_table(emulators: ALEVectorInterface) -> NDArray[np.int64]:
    """int64 [18]: the emulators' index of each ALE action; that of NOOP where the game lacks the action."""
    own = [each.value for each in emulators.get_action_set()]
    return np.array([own.index(action) if action in own else own.index(0) for action in range(ACTIONS)])


def digest(step: TimeStep) -> str:
    """A hexadecimal hash of all that a time step says."""
    parts = (step.observation, step.reward, step.discount, step.first)
    joined = hashlib.blake2b(digest_size=16)
    for part in parts:
        joined.update(np.ascontiguousarray(part).tobytes())
    return joined.hexdigest()


def _outcome_settings(settings: AtariSettings) -> dict[str, Any]:
    """The settings that can change an outcome: all but the number of threads."""
    return {name: value for name, value in asdict(settings).items() if name != "threads"}
