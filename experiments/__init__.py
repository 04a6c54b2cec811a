"""The experiments of the paper beside the agent itself."""
