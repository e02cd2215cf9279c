"""What `import grok_cli as grok` offers: the functions behind the commands, for notebooks.

Each reads, writes and names files as its command does, raises where that prints a message, and
prints nothing.
"""
