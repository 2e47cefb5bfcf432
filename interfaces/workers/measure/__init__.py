"""The measure worker: records what each facility delivered, and measures again after corrections."""
