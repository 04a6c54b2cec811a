"""Another library's agent learns on the stream. It is the example that is tested, not the agent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from configs.build import build_stream
from configs.parse import load

pytest.importorskip("stable_baselines3", reason="the example needs stable-baselines3, which is not installed")
from examples import sb3_dqn

TOY = "configs/presets/toy.yaml"


@pytest.mark.parametrize(
    ("config", "games"),
    [
        (TOY, ["toy_catch", "toy_avoid"]),
        pytest.param("configs/presets/quick.yaml", ["road_runner", "freeway", "krull"], marks=pytest.mark.slow),
    ],
)
def test_it_learns_and_every_game_is_in_the_table(config: str, games: list[str], capsys: Any) -> None:
    model, results = sb3_dqn.main(480, config, episodes=2)
    assert model.num_timesteps == 480 and model._n_updates >= 10
    assert [result.game for result in results] == games and all(len(result.returns) == 2 for result in results)
    assert "total" in capsys.readouterr().out


def test_its_memory_holds_what_the_stream_showed_over_a_switch_of_games() -> None:
    """Every transition with the observation that followed, also where another game was shown: those are truncated, and
    bootstrap from what was last seen of the old one."""
    config = load(TOY, ["--emulators.num_envs=4", "--stream.visit_frames=720"])
    stream = build_stream(config)
    now = stream.start()
    env = sb3_dqn.gymnasium.make_vec(
        "ContinualAtari-v0", num_envs=4, config=TOY, settings=["--stream.visit_frames=720"]
    )
    model = sb3_dqn.DQN("CnnPolicy", sb3_dqn.Stream(env), buffer_size=1000, learning_starts=400, seed=0)
    model.learn(320)
    memory = model.replay_buffer
    assert memory.pos == 80  # vector steps; another game from step 45 on, amid an episode
    cuts = 0
    for step in range(memory.pos):
        assert np.array_equal(memory.observations[step], now.observation)
        before, now = now, stream.step(memory.actions[step, :, 0])
        assert np.array_equal(memory.dones[step], now.first)
        assert np.array_equal(memory.timeouts[step], now.interrupted)
        shown = now.observation if stream.final_observation is None else stream.final_observation
        kept = memory.next_observations[step]
        assert np.array_equal(kept[~now.first], now.observation[~now.first])
        assert np.array_equal(kept[now.first], shown[now.first])
        assert np.array_equal(kept[now.first][:, :3], before.observation[now.first][:, 1:])
        cuts += stream.cut
    assert cuts == 1 and memory.timeouts.sum() == 4
    stream.close()
