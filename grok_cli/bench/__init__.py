"""How fast training is on this machine.

stopwatch.py   times the steps of a trainer
products.py    counts the matrix products that a step makes, and times them alone
compare.py     the plain engine against the fast one, and what runs will take
worker.py      the process that measures, one for each number of threads
"""
