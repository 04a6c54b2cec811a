"""What others' agents reach after 400,000 frames of one game (100,000 agent steps), to stand beside ours.

DrQ(ε) of Agarwal et al. 2021, "Deep reinforcement learning at the edge of the statistical precipice"
(arXiv 2108.13264): a DQN with random shifts, n = 10 and 32 samples per step, on a GPU. Means over 100 seeds, worked out
from the scores per seed that the repository eloialonso/iris keeps. Without sticky actions and probably with each game's
own actions only, where ours have all 18.
"""

from __future__ import annotations

DRQ_EPSILON = {
    "alien": 865.0,
    "amidar": 138.0,
    "assault": 580.0,
    "bank_heist": 233.0,
    "boxing": 9.0,
    "breakout": 19.8,
    "crazy_climber": 21_539.0,
    "demon_attack": 1_322.0,
    "freeway": 20.3,
    "frostbite": 1_014.0,
    "gopher": 622.0,
    "hero": 4_168.0,
    "jamesbond": 349.0,
    "kangaroo": 1_088.0,
    "krull": 4_402.0,
    "kung_fu_master": 11_467.0,
    "ms_pacman": 1_218.0,
    "pong": -9.1,
    "qbert": 1_811.0,
    "road_runner": 11_211.0,
    "seaquest": 352.0,
    "up_n_down": 4_325.0,
}
"""{game: mean score}."""
