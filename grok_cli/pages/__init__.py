"""The documentation: the pages of docs/, and those that are made from what the program is.

`catalogue` knows them all, in order. `grok docs` and the site show the same text.
"""
