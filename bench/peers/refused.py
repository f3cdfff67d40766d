"""Why a peer does not score a model."""


class Refused(Exception):
    """The text is the reason, shown in the benchmark's table."""
