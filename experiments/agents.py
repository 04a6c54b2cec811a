"""The agents that are compared, each in a few arguments of train.py."""

from training.launch import PLAIN_DQN

AGENTS = {
    "ewc_inferred": ("--tasks", "inferred", "--consolidation.kind", "ewc"),
    "ewc_labels": ("--tasks", "true_labels", "--consolidation.kind", "ewc"),
    "no_penalty": ("--tasks", "inferred", "--consolidation.kind", "none"),
    "no_penalty_nor_closing": (
        *("--tasks", "inferred", "--consolidation.kind", "none"),
        *("--consolidation.close_silent", "false"),
    ),
    "l2": ("--tasks", "inferred", "--consolidation.kind", "l2"),
    "rehearsal": ("--tasks", "inferred", "--consolidation.kind", "none", "--learner.rehearsal", "0.5"),
    "plain_dqn": PLAIN_DQN,
}
"""What sets the agents apart."""
