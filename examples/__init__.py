"""Other people's agents on our stream, and our agent on theirs."""
