"""Our agent in John Carmack's challenge of 2025: python -m examples.challenge [DIRECTORY [FRAMES [GAME ...]]]

Eight games in sequence, three cycles, all 18 actions, sticky ones. The agent sees raw frames, rewards and ends.
"""

import sys

from ale_py import ALEInterface, LoggerMode

from configs.parse import load
from envs.game_sets import games_of
from envs.roms import find_rom
from tracking import command
from tracking.numbers import whole
from training.online import ONLINE, online_agent

GAMES = ("atlantis", "battle_zone", "centipede", "defender", "krull", "ms_pacman", "qbert", "up_n_down")
CYCLES = 3


def emulator(game, seed):
    """One emulator at the game's first frame."""
    ALEInterface.setLoggerMode(LoggerMode.Error)
    ale = ALEInterface()
    ale.setFloat("repeat_action_probability", 0.25)
    ale.setInt("random_seed", seed)
    ale.loadROM(find_rom(game))
    ale.reset_game()
    return ale


def main(directory, frames, *games):
    """Play visits of so many frames, each printed and saved; started again, go on with the first that is not (and never
    tell what the last frame before it earned)."""
    frames, visits = int(frames), games * CYCLES
    agent = online_agent(load("upper_bound", ONLINE), directory)
    if agent.frames % frames:
        sys.exit(f"{directory} was begun with visits of another length than {frames:,} frames")
    scores, reward, over = [], 0.0, False
    for number in range(agent.frames // frames, len(visits)):
        ale = emulator(visits[number], seed=number)
        action, score = agent.act(ale.getScreenRGB(), reward, over, True), 0.0  # the old game was cut off
        for _ in range(frames - 1):
            reward, over = float(ale.act(action)), ale.game_over()
            score += reward
            if over:
                ale.reset_game()
            action = agent.act(ale.getScreenRGB(), reward, over, False)
        reward, over = float(ale.act(action)), ale.game_over()  # told with the next game's first frame
        scores.append(score + reward)
        agent.save()
        print(f"{visits[number]}: {scores[-1]:,.0f} in {frames:,} frames, taken for task {agent.task}", flush=True)
    agent.close()
    return scores


def read_arguments():
    """Directory, frames and games of the command line."""
    parser = command.Parser(prog="python -m examples.challenge", description=__doc__.split("\n")[0])
    parser.add_argument("directory", nargs="?", default="runs/challenge", help="default: runs/challenge")
    parser.add_argument("frames", nargs="?", type=whole(1, 10**9), default=400_000, help="of a visit; default: 400,000")
    parser.add_argument("games", nargs="*", default=GAMES, help=f"default: {', '.join(GAMES)}")
    options = parser.parse_args()
    try:
        games = games_of(",".join(options.games))
        for game in games:
            find_rom(game)
    except ValueError as error:
        parser.error(str(error))
    return options.directory, options.frames, *games


def play():
    """Play as the command line says; the exit code."""
    main(*read_arguments())
    return 0


if __name__ == "__main__":
    command.run(play)
