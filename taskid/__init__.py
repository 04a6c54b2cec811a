"""Task identification: which task the agent is in."""
