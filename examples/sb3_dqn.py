"""The DQN of stable-baselines3 learns on the stream of games: python -m examples.sb3_dqn [STEPS [CONFIG]]"""

import sys

import gymnasium
import numpy as np
from stable_baselines3 import DQN
from stable_baselines3.common.vec_env import VecEnv

import envs.gymnasium  # registers the id
from configs.build import build_schedule
from configs.parse import load
from evaluation.policy import evaluate_policy, print_scores


class Stream(VecEnv):
    """The stream in the terms of stable-baselines3, whose environments begin the next episode in the same step, too."""

    def __init__(self, env):
        self.env = env
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)

    def reset(self):
        return self.env.reset()[0]

    def step_async(self, actions):
        self.actions = actions

    def step_wait(self):
        observation, reward, terminated, truncated, info = self.env.step(self.actions)
        last = info.get("final_obs", [None] * self.num_envs)
        told = [{"TimeLimit.truncated": c, "terminal_observation": o} for c, o in zip(truncated, last, strict=True)]
        return observation, np.clip(reward, -1, 1), terminated | truncated, told

    def close(self):
        self.env.close()

    def get_attr(self, name, indices=None):
        return [getattr(self.env, name)] * self.num_envs

    def env_is_wrapped(self, wrapper_class, indices=None):
        return [False] * self.num_envs

    env_method = set_attr = None  # not needed


def main(steps=140_000, config="quick", episodes=10):
    """Learn for so many agent steps, four frames each; then play every game of the stream, and print the table."""
    stream = Stream(gymnasium.make_vec(envs.gymnasium.ID, num_envs=4, config=config))
    model = DQN("CnnPolicy", stream, buffer_size=20_000, learning_starts=400, gradient_steps=2, seed=0)
    model.learn(int(steps))
    stream.close()
    run = load(config)
    results = evaluate_policy(
        lambda seen: model.predict(seen)[0], build_schedule(run).games, run, episodes=episodes, max_episode_frames=2_000
    )
    print_scores(results, frames=4 * int(steps))
    return model, results


if __name__ == "__main__":
    main(*sys.argv[1:])
