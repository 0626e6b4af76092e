"""Loading: what is imported when, and errors that name the remedy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aios_kernel import ChatCall, ConfigError, CoreError, Kernel, ModelLoadError
from aios_kernel.cores.torch import TorchCore
from tests.kernel.torch.support import ask, chat, completion, core, model, reference, tokenizer


def test_torch_is_imported_by_the_first_call_only() -> None:
    """The kernel, and even a torch core that nobody has called, load neither torch nor transformers nor numpy."""
    code = (
        "import sys; from aios_kernel import Kernel; from aios_kernel.cores.torch import TorchCore; "
        "Kernel(llm=TorchCore('anything')).close(); "
        "assert not {'torch', 'transformers', 'numpy'} & set(sys.modules), 'imported early'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def _refused(source: Any, **options: Any) -> str:
    with pytest.raises(ModelLoadError) as caught:
        TorchCore(source, **options).load()
    return str(caught.value)


def test_a_path_that_does_not_exist(tmp_path: Path) -> None:
    """The path is named."""
    assert "no such file" in _refused(str(tmp_path / "nothing"))
    assert "no such file" in _refused("./nothing.gguf")


def test_files_that_are_no_model(tmp_path: Path) -> None:
    """A directory or GGUF file with something else in it is refused with what would be right."""
    (tmp_path / "model.gguf").write_bytes(b"not a model")
    assert "transformers causal language model" in _refused(str(tmp_path))
    assert ".gguf" in _refused(str(tmp_path / "model.gguf"))


def test_a_hub_name_while_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without access to the hub the message says what is set and what else can be given."""
    import huggingface_hub.constants

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    message = _refused("nobody/no-such-model-here")
    assert "nobody/no-such-model-here" in message
    assert "HF_HUB_OFFLINE is set" in message


def test_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where torch is not installed the extra is named."""
    monkeypatch.setitem(sys.modules, "torch", None)
    assert "aios-adapters[torch]" in _refused("anything")


def test_a_model_object_needs_its_tokenizer() -> None:
    """A loaded model alone is refused."""
    assert "tokenizer" in _refused(model())


def test_layers_that_keep_other_state() -> None:
    """Layers whose state is not keys and values are refused when the model is loaded, not served wrongly."""
    made = model()
    made.config.layer_types = ["full_attention", "linear_attention"]
    assert "linear_attention" in _refused(made, tokenizer=tokenizer())


def test_attention_that_passes_us_by(monkeypatch: pytest.MonkeyPatch) -> None:
    """An architecture that does not use the attention interface, or uses more of it than we know, is refused."""
    from aios_kernel.cores.torch import executor

    monkeypatch.setattr(executor, "LIKENESS", 1.1)
    assert "differ from transformers' own" in _refused(model(), tokenizer=tokenizer())


def test_a_directory_and_its_dtype(tmp_path: Path) -> None:
    """A saved model is loaded from its directory, in the dtype asked for, and gives its attention back at the end."""
    model().save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    made = TorchCore(str(tmp_path), dtype="float32", context=100)
    kernel = Kernel(llm=made)
    assert ask(kernel, completion("the dog", 3)).usage.output_tokens > 0
    assert (made.status()["dtype"], made.status()["context"]) == ("float32", 100)
    kernel.close()


def test_the_model_is_handed_back() -> None:
    """After close a model object generates by itself as before."""
    mine = model()
    kernel = Kernel(llm=core(model=mine))
    ask(kernel, completion("the dog", 3))
    kernel.close()
    assert mine.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("wrong", [{"context": 0}, {"kv_memory": -1}, {"max_batch": 0}])
def test_numbers_that_make_no_sense(wrong: dict[str, Any]) -> None:
    """They are refused when the core is made."""
    with pytest.raises(ConfigError, match="use 1 or more"):
        TorchCore("x", **wrong)


BAD_SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "no such type"}}}


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (chat("hi", response_format=BAD_SCHEMA), "response format cannot be followed"),
        (chat("hi", response_format={"type": "json_schema"}), "has no schema"),
        (chat("hi", response_format={"type": "xml"}), "'json_object'"),
        (chat("hi", tools=[{"type": "function", "function": {}}]), "without a name"),
        (
            chat("hi", tools=[{"name": "f"}], tool_choice={"type": "function", "function": {"name": "g"}}),
            "the tools: f",
        ),
        (chat("hi", sampling={"n": 2}), "make 2 calls"),
        (chat("hi", sampling={"temperature": -1.0}), "temperature of 0 or more"),
        (chat("hi", max_tokens=0), "use 1 or more"),
        (ChatCall(), "no messages"),
        (ChatCall(messages=[{"role": "user", "content": [{"type": "image_url"}]}]), "text only"),
    ],
)
def test_bad_calls_are_refused_and_the_core_goes_on(call: Any, said: str) -> None:
    """Each is refused in its caller's thread with what to do; the next good call is served."""
    kernel = Kernel(llm=core())
    with pytest.raises(CoreError, match=said):
        ask(kernel, call)
    assert ask(kernel, completion("the dog", 4)).text == reference("the dog", 4)
    kernel.close()


def test_no_chat_template() -> None:
    """A model without a template completes and says why it does not chat."""
    words = tokenizer()
    words.chat_template = None
    kernel = Kernel(llm=core(tokenizer=words))
    with pytest.raises(CoreError, match="no chat template"):
        ask(kernel, chat("hi"))
    assert ask(kernel, completion("the dog", 4)).usage.output_tokens == 4
    kernel.close()
