"""The one exception that means: the input, not the program, is at fault."""


class UserError(ValueError):
    """What was given, what was expected and what to do, in one sentence.

    The command line prints it without a traceback and exits with status 2.
    """
