"""The local calendar of facilities: hours of the week, clock changes, public holidays."""
