"""Playing an agent without learning: episodes, the table of scores, pictures and videos."""
