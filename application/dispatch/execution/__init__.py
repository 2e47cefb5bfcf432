"""Execution of recorded BMS commands in a dispatch worker."""
