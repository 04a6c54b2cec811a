"""The worlds: games and their scores, batches of emulators, schedules of games, and the stream they make.

Axes: B emulators, S stacked frames, T time steps, H = W = 84 pixels.
"""
