"""The agents that are compared, each in a few arguments of train.py."""

PLAIN_DQN = (
    *("--task_source", "single", "--consolidation.kind", "none"),
    *("--learner.rehearsal", "0", "--learner.gated", "0"),
)
"""What makes any configuration that of a plain DQN: one task, one replay and the whole network for everything."""

AGENTS = {
    "ewc_inferred": ("--task_source", "inferred", "--consolidation.kind", "ewc"),
    "ewc_labels": ("--task_source", "true_labels", "--consolidation.kind", "ewc"),
    "no_penalty": ("--task_source", "inferred", "--consolidation.kind", "none"),
    "no_penalty_nor_closing": (
        *("--task_source", "inferred", "--consolidation.kind", "none"),
        *("--consolidation.prune_inactive", "false"),
    ),
    "l2": ("--task_source", "inferred", "--consolidation.kind", "l2"),
    "rehearsal": ("--task_source", "inferred", "--consolidation.kind", "none", "--learner.rehearsal", "0.5"),
    "plain_dqn": PLAIN_DQN,
}
"""What sets the agents apart."""
