"""Whose tokens a layer sees: threads, transformations, shared objects."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import transformers as t
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, stack_module_state, vmap
from torch.utils.checkpoint import checkpoint

import relusparsity
from any_models import build, inputs
from calls_made import counted, counts, stack, tokens
from relusparsity.anymodel import above
from relusparsity.anymodel.calibrate import Zeroed
from relusparsity.anymodel.place import occurrences
from relusparsity.errors import UserError


def together(*jobs: Callable[[], Any]) -> None:
    """Run all at once, and raise what one of them raises."""
    errors: list[Exception] = []

    def run(job: Callable[[], Any]) -> None:
        try:
            job()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in errors:
        raise error


def test_threads_that_overlap_keep_their_own_padding_and_sequences() -> None:
    """Two decodings in two threads, made to overlap in every call, count as one after the other."""
    model, given = build("opt"), inputs("opt", 2)["input_ids"]
    masks = torch.ones_like(given), torch.ones_like(given)
    masks[0][1, :5] = 0
    barrier = threading.Barrier(2)

    def decode(mask: Tensor, wait: bool) -> None:
        with torch.no_grad():
            cache = model(input_ids=given, attention_mask=mask).past_key_values
            for _ in range(3):
                mask = nn.functional.pad(mask, (0, 1), value=1)
                model(input_ids=given[:, :1], attention_mask=mask, past_key_values=cache)

    def wait(*_: Any) -> None:
        barrier.wait(10)

    one_by_one = counted(model, lambda: [decode(mask, False) for mask in masks])
    handle = model.model.decoder.layers[0].register_forward_pre_hook(wait)
    by_turns = counted(model, lambda: together(*(lambda mask=mask: decode(mask, True) for mask in masks)))
    handle.remove()
    assert tokens(by_turns) == [(16 + 11 + 12, 4)] * 2
    for found, expected in zip(by_turns, one_by_one, strict=True):
        for name in ("unit_tokens", "unit_sequences", "token_histogram", "sequence_histogram"):
            assert found[name] == expected[name]


def test_single_sequences_decoded_by_turns_have_no_running_text() -> None:
    model, ids = build("opt"), inputs("opt", 1)["input_ids"]
    turn = [threading.Event(), threading.Event()]
    turn[0].set()

    def decode(me: int) -> None:
        cache = None
        for at in range(3):
            assert turn[me].wait(20)
            turn[me].clear()
            with torch.no_grad():
                cache = model(input_ids=ids[:, at : at + 1], past_key_values=cache, use_cache=True).past_key_values
            turn[1 - me].set()

    found = counted(model, lambda: together(lambda: decode(0), lambda: decode(1)))
    assert tokens(found) == [(6, 2)] * 2 and found[0]["mixed"]


def test_layers_in_threads_of_their_own_are_refused_and_parts_by_themselves_count() -> None:
    model, x = stack(), torch.randn(4, 5, 8)

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def forward(self, x: Tensor) -> None:
            together(lambda: self.inner(x))

    with pytest.raises(UserError, match="in another thread"), relusparsity.track(outer := Outer()) as use:
        outer(x)
    with pytest.raises(UserError, match="not whole"):
        use.counts()
    assert tokens(counted(model, lambda: model[1](model[0](x)))) == [(20, 4)] * 2


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("whole", [True, False])
def test_what_the_backward_pass_runs_again_does_not_count(whole: bool, reentrant: bool) -> None:
    model, x = stack(), torch.randn(4, 5, 8, requires_grad=True)
    expected = counted(model, lambda: model(x))

    def train() -> None:
        y = x
        for part in [model] if whole else model:
            y = checkpoint(part, y, use_reentrant=reentrant)
        y.sum().backward()

    assert counted(model, train) == expected


def test_blocks_that_overlap_keep_compiled_models_in_sight() -> None:
    """The first to end does not let the other's compiled model run on without its hooks."""
    torch._dynamo.reset()
    x, models = torch.randn(4, 5, 8), (stack(), stack())
    compiled = [torch.compile(model, backend="eager") for model in models]
    for each in compiled:
        each(x)
    first, second = (relusparsity.track(each) for each in compiled)
    with first:
        second.__enter__()
    compiled[1](x)
    second.__exit__(None, None, None)
    assert tokens(counts(second)) == [(20, 4)] * 2
    counters = torch._dynamo.utils.counters
    counters.clear()
    compiled[1](x)
    assert not counters["stats"]["unique_graphs"], "the graph that it had before"
    torch._dynamo.reset()


def test_inputs_by_name_are_seen() -> None:
    class Named(Block):
        def forward(self, x: Tensor) -> Tensor:
            return self.down(input=self.act(self.up(x)))

    model, x = nn.Sequential(Named(nn.ReLU(), 3)), torch.randn(4, 5, 8)
    assert counted(model, lambda: model(x), layers="*.down", of="input") == counted(model, lambda: model(x))


class Transformed:
    """One batch of 4 × 5 tokens in torch.func's transformations."""

    def __init__(self) -> None:
        self.model, self.x = stack(), torch.randn(4, 5, 8)
        self.values = dict(self.model.named_parameters())

    def loss(self, values: dict[str, Tensor], x: Tensor) -> Tensor:
        return functional_call(self.model, values, (x,)).pow(2).mean()

    def calls(self) -> Iterator[Callable[[], Any]]:
        x, values = self.x, self.values
        yield lambda: vmap(grad(lambda v, one: self.loss(v, one[None])), (None, 0))(values, x)
        yield lambda: vmap(grad(self.loss), (None, 0))(values, x)
        yield lambda: vmap(grad(self.loss), (None, 1))(values, x.transpose(0, 1))
        yield lambda: vmap(vmap(self.model))(x.reshape(2, 2, 5, 8))
        yield lambda: vmap(vmap(self.model))(x)
        yield lambda: grad(self.loss)(values, x)
        yield lambda: jvp(self.model, (x,), (x,))


def test_torch_func_counts_as_a_plain_call() -> None:
    here = Transformed()
    expected = counted(here.model, lambda: here.model(here.x))
    for call in here.calls():
        assert counted(here.model, call) == expected
    weights, _ = stack_module_state([here.model, here.model])
    with pytest.raises(UserError, match="several models at once"), relusparsity.track(here.model):
        vmap(lambda values: functional_call(here.model, values, (here.x,)))(weights)


def test_vmap_over_texts_with_their_masks() -> None:
    config = t.LlamaConfig(
        vocab_size=60, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, hidden_act="relu", attn_implementation="eager",
    )  # fmt: skip
    model, ids = t.LlamaForCausalLM(config).eval(), torch.randint(3, 60, (4, 7))
    mask = torch.arange(7) >= torch.tensor([[3], [0], [6], [0]])

    def one(ids: Tensor, mask: Tensor) -> Tensor:
        return model(input_ids=ids[None], attention_mask=mask[None], use_cache=False).logits

    expected = counted(model, lambda: model(input_ids=ids, attention_mask=mask, use_cache=False))
    assert counted(model, lambda: vmap(one)(ids, mask)) == expected


class Block(nn.Module):
    def __init__(self, act: nn.Module, silent: int) -> None:
        super().__init__()
        self.up, self.act, self.down = nn.Linear(8, 16), act, nn.Linear(16, 8)
        with torch.no_grad():
            self.up.bias[:silent] = -50

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(self.act(self.up(x)))


def test_one_object_in_several_layers_counts_for_each() -> None:
    act, x = nn.ReLU(), torch.randn(4, 5, 8)
    model = nn.Sequential(*(Block(act, 4 * layer) for layer in range(1, 4)))
    by_name = counted(model, lambda: model(x), layers="*.act")
    read = counted(model, lambda: model(x), layers="*.down", of="input")
    assert counted(model, lambda: model(x)) == by_name == read
    assert tokens(by_name) == [(20, 4)] * 3
    with pytest.raises(UserError, match="share one activation object"):
        Zeroed(model, above(0.1, 3))
    order = nn.Sequential(nn.Linear(8, 16), act, nn.Linear(16, 32), act, nn.Linear(32, 8))
    assert [len(each["unit_tokens"]) for each in counted(order, lambda: order(x))] == [16, 32]
    same = Block(nn.ReLU(), 4)  # the same weights again are the same units
    assert tokens(counted(tied := nn.Sequential(same, same), lambda: tied(x))) == [(40, 8)]
    assert [name for name, _ in occurrences(tied)] == ["", "0", "0.up", "0.act", "0.down"]


def test_an_object_that_runs_several_times_in_one_call_is_refused() -> None:
    class Twice(Block):
        def forward(self, x: Tensor) -> Tensor:
            return self.down(self.act(self.act(self.up(x))))

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = self.other = nn.ReLU()

    model = nn.Sequential(Twice(nn.ReLU(), 0))
    with pytest.raises(UserError, match="of='input'"), relusparsity.track(model):
        model(torch.randn(4, 5, 8))
    with pytest.raises(UserError, match="one object"):
        relusparsity.track(Two(), layers=lambda name, _: bool(name))
