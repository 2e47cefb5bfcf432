"""Fault storms: the write side and its workers in one process, on virtual time, every chance drawn from a seed.

The code under test is the product's own: bus, handlers, aggregates, saga, relay, schedule, BMS calls, callbacks,
measuring. Simulated are what stands around it: database, queue, locks, buildings, meters, utility, clock, and how the
scheduler orders what is ready. The same seed gives the same story, down to the digest of its log.
"""
