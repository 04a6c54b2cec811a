"""Where the task's number comes from: one file per source."""
