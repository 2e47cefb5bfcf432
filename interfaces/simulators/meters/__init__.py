"""Simulated meters: load models, recorded load and MQTT publishing."""
