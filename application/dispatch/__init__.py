"""Dispatch: publishing of recorded intents, and execution of BMS commands."""
