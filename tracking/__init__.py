"""What a run leaves on disk and on the screen: checkpoints, logs, status, progress.

Imports nothing else of ours.
"""
