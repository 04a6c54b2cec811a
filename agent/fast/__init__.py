"""The same mathematics as beside it, computed sooner; each has a slow twin that the tests hold it to."""
