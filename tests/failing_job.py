"""The command line, as torchrun starts it; at its 25th step the second process comes to grief."""

import os
import signal
import sys

from relusparsity import stopping, train
from relusparsity.__main__ import main
from relusparsity.errors import UserError

advance = train.Trainer.advance
how = sys.argv.pop(1)


def failing(trainer: train.Trainer) -> object:
    if trainer.step == 25 and os.environ["RANK"] == "1":
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise UserError("this machine alone has no text.") if how == "refuse" else RuntimeError("a cable was pulled")
    return advance(trainer)


if __name__ == "__main__":
    train.Trainer.advance = failing  # type: ignore[assignment,method-assign]
    stopping.LINGER = 3.0  # long enough for torchrun to end a process that waits for it
    sys.exit(main())
