"""What chapter 12 found, and what it still has to find."""

from ... import store
from ...claims.short import Short
from ...experiments import first_gradient, lazy, lazy_pictures


def in_short() -> Short:
    """The chapter in a sentence and three lines."""
    dataset = store.recorded("lazy_pictures", "fashion")
    table, halves = lazy_pictures.ends(dataset), lazy_pictures.halved(dataset)
    end = table["end"].unstack("seed").mean(axis=1)
    wide = list(lazy_pictures.TIMES.values())
    living = table["living"].loc[list(lazy_pictures.NO_DATA)[-1]].mean()
    two = first_gradient.table(store.recorded("first_gradient", "laptop")).loc[first_gradient.RANDOM]
    return Short(
        f"A vision Transformer with ReLU comes to {end[lazy.AS_IS]:.0f} % positive entries that nobody asked for, from "
        f"50 % before training; the source has 6.3 %, of a larger model on more data. Wider and deeper is sparser: "
        f"{end[wide[0]]:.0f} % with the narrowest layers, {end[wide[-1]]:.0f} % with the widest.",
        (
            f"With random data the share falls to about half ({int(halves.eq(True).sum())} of {len(halves)} runs below "
            "it). Where the data are fresh at each step, that is because most units fall silent: the others fire at "
            f"{living:.0f} % of the patches.",
            f"Before the first step a network of two layers has {two['of the theorem']:.0f} % of the push that the "
            "source's theorem promises. In whole Transformers its sign is open in nearly every layer.",
            "Over whole runs of two layers the share rises where the sign is turned, and falls only where labels stay "
            "independent of the last layer at every step: the theorem is about the first.",
        ),
    )
