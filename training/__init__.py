"""What the loop of train.py is made of: launching, resuming, evaluations beside it, the report at the end."""
