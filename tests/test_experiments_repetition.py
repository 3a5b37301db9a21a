"""Repeated text: how many passes a part of the text is, and that the runs differ in it alone."""

from relusparsity import corpora
from relusparsity.experiments import repetition
from relusparsity.store import results


def test_a_part_of_the_text_is_as_many_passes() -> None:
    run = repetition.config("smoke").runs[0]
    corpus = corpora.load(run.corpus)
    parts = [repetition.first_part(corpus, passes, run.train.tokens) for passes in (1, 4)]
    assert [round(run.train.tokens / len(part.train), 2) for part in parts] == [1, 4]
    assert len({corpus.checksum, *(part.checksum for part in parts)}) == 3, "other text, other run"
    assert (parts[1].train == corpus.train[: len(parts[1].train)]).all()
    assert parts[1].heldout is corpus.heldout
    enough = repetition.first_part(corpus, 1, 10 * len(corpus.train))
    assert enough is corpus, "a text that is too short for one pass is read as it is"


def test_repetition_differs_in_the_text_alone() -> None:
    dataset = repetition.run(repetition.config("smoke"))
    assert dataset["recipe"].values.tolist() == list(repetition.PASSES)
    assert dataset["changed"].values.tolist() == ["1.00 passes", "4.00 passes"]
    use = dataset["batch_use"].isel(seed=0)
    assert (use.isel(step=0, recipe=0) == use.isel(step=0, recipe=1)).all(), "the same weights to begin with"
    assert (use.isel(step=-1, recipe=0) != use.isel(step=-1, recipe=1)).any()


def test_recorded_runs_differ_as_they_say() -> None:
    data = results.recorded("repetition", "mid")
    assert data["changed"].values.tolist() == ["1.00 passes", "4.00 passes"]
