"""Runs of a sweep on a Ray cluster.

executor    hands jobs to Ray, and gives it again what was lost
states      the life of one of them, as this side sees it: an actor that is asked for news
actor       what holds a worker on a node
mirror      the copy of a run directory that comes back, where nodes share no storage
cluster     the connection
"""
