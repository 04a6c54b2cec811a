"""The agent: network, Q-learning, exploration, and the composition that learns continually."""
