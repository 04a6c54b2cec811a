"""Many runs of train.py on Ray: plan, runs, nodes, status, report."""
