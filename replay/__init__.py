"""What the agent remembers: one ring of single frames per task, under one memory budget."""
