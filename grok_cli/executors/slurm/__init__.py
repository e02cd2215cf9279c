"""Runs on a Slurm cluster: submission through submitit, and the bookkeeping in `.slurm`.

A submission is a batch: a job array whose tasks each train a few runs, one after the other. What
a batch consists of is written down before it is submitted, under the name that its jobs have in
the queue; so a driver that is killed at any moment leaves nothing that the next one cannot find.
"""
