"""The exceptions of the library's own: the input, not the program, is at fault; a run was asked to stop early."""


class UserError(ValueError):
    """What was given, what was expected and what to do, in one sentence.

    The command line prints it without a traceback and exits with status 2.
    """


class StoppedEarly(Exception):
    """A run was stopped by one of its screens: which, and what was measured; all that was measured is kept."""
