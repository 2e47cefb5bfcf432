"""What a read model says when it cannot be asked; apart from the views, so that what they show may say it too."""


class ReadModelsUnavailable(Exception):
    """The read models cannot be reached, did not answer in time, or contradict the log that they came from."""
