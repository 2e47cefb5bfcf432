"""The settings: environment variables, the settings file, and secrets by reference."""
