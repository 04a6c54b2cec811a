"""The Q-network's layers: one file per size."""
