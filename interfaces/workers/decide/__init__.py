"""The worker that decides: the relay follows the log and gives the saga's commands; deadlines propose due ones."""
