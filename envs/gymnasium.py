"""The stream of games as a Gymnasium vector environment, for other people's agents.

    import gymnasium, envs.gymnasium
    env = gymnasium.make_vec("ContinualAtari-v0", num_envs=4, config="quick")

Importing this module registers the id, and nothing that it imports needs torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from envs.stream import GameStream
from envs.timestep import ACTIONS, SIZE, STACK, TimeStep

ID = "ContinualAtari-v0"

# A name and no import: who makes the environment from a configuration has what reads one.
gymnasium.register(ID, vector_entry_point="configs.gymnasium:continual_atari")

Step = tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]


class ContinualAtari(VectorEnv):
    """What an agent of ours would see, step for step: B emulators of one game, which is replaced from time to time.

    Observations are uint8 [B, 4, 84, 84], actions 0..17 in every game, rewards float32 [B], raw. The autoreset mode is
    `SAME_STEP`: where an episode ends, reward and ends belong to the action just taken, the observation is the next
    episode's first one, and `info["final_obs"]` has the last one of the episode that ended.

    terminated  the game was over
    truncated   it was cut off: by the frame cap, because another game takes its place, or because the emulators are
                seeded anew. The last two cut all emulators at once. Nothing else tells of another game

    `info["life_lost"]` bool [B]: a life was lost and the game goes on, which ends the learner's bootstrapping in a run
    of ours; always false under `emulators.life_loss_terminal` false. With `labels`, `info["game"]` names the game that
    is shown, and `info["final_info"]["game"]` the one that was.

    A reset begins the stream at its beginning; with another seed it is another stream, as of a run with that `seed`.

    make_stream  a seed -> the stream, not yet started
    seed         of the stream until a reset gives another
    num_envs     B
    labels       whether `info` names the game
    """

    def __init__(
        self, make_stream: Callable[[int], GameStream], seed: int, num_envs: int, labels: bool = False
    ) -> None:
        self.make_stream = make_stream
        self.stream_seed = seed
        self.num_envs = num_envs
        self.labels = labels
        self.metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}
        self.single_observation_space = Box(0, 255, (STACK, SIZE, SIZE), np.uint8)
        self.single_action_space = Discrete(ACTIONS)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.stream: GameStream | None = None

    @property
    def frames(self) -> int:
        """Environment frames since the stream began, over all emulators."""
        return self._started().frames

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Begin the stream, again or for the first time; ValueError for a `reset_mask`, for which nothing waits."""
        if "reset_mask" in (options or {}):
            raise ValueError(
                "reset_mask: episodes begin by themselves here, so a reset can only begin the whole stream."
            )
        super().reset(seed=seed)
        if seed is not None:
            self.stream_seed = seed
        self.close_extras()
        self.stream = self.make_stream(self.stream_seed)
        now = self.stream.start()
        return now.observation, self._told(now, self.stream.label)

    def step(self, actions: Any) -> Step:
        """One action of every emulator, integers [B] in 0..17; ValueError for anything else."""
        stream = self._started()
        label = stream.label
        following = stream.step(np.asarray(actions))
        info = self._told(following, stream.label)
        if stream.final_observation is not None:
            info |= _final(stream.final_observation, following.first, label if self.labels else None)
        ended = following.first & (following.discount == 0)
        return following.observation, following.reward, ended, following.interrupted, info

    def close_extras(self, **kwargs: Any) -> None:
        """Stop the emulators and their threads."""
        if self.stream is not None:
            self.stream.close()
        self.stream = None

    def _told(self, now: TimeStep, label: str) -> dict[str, Any]:
        info = {"life_lost": ~now.first & (now.discount == 0), **({"game": self._named(label)} if self.labels else {})}
        return {**info, **{f"_{name}": np.ones(self.num_envs, np.bool_) for name in info}}

    def _named(self, label: str) -> NDArray[np.object_]:
        return np.full(self.num_envs, label, dtype=object)

    def _started(self) -> GameStream:
        if self.stream is None:
            raise RuntimeError("the stream has not begun: call reset() first")
        return self.stream


def _final(observation: NDArray[np.uint8], over: NDArray[np.bool_], label: str | None) -> dict[str, Any]:
    """What Gymnasium's vector environments tell of episodes that are `over` bool [B], with masks, in their form."""
    rows, games = (np.full(len(over), None, dtype=object) for _ in range(2))
    for b in np.flatnonzero(over):
        rows[b] = observation[b]
    told: dict[str, Any] = {"final_obs": rows, "_final_obs": over.copy()}
    if label is not None:
        games[over] = label
        told |= {"final_info": {"game": games, "_game": over.copy()}, "_final_info": over.copy()}
    return told
