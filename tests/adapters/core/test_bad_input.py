"""Bad input, as a user of `enable()` meets it: each a clear error that names the remedy, and the kernel serves on."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import aios_adapters
from aios_adapters import session
from aios_kernel import ChatCall, Kernel, ModelLoadError, Policy, PolicyError, QueueFull, UnknownName
from aios_kernel.cores.scripted import ScriptedCore
from tests.support.waiting import PATIENCE, wait_until

CALL = ChatCall(model="m", messages=[{"role": "user", "content": "hi"}])


@pytest.fixture(autouse=True)
def _restored():
    yield
    aios_adapters.disable()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"policy": "fair"}, "wfq"),
        ({"policies": {"llm:*": "lass"}}, "Did you mean 'las'"),
        ({"llm": "embeded"}, "Did you mean 'embedded'"),
        ({"llm": {"gpt-*": "torhc:x"}}, "torch:MODEL"),
        ({"only": "langchian"}, "Did you mean 'langchain'"),
        ({"exclude": ["autgen"]}, "Did you mean 'autogen'"),
        ({"limits": {"llm:*": {"rpn": 3}}}, "Did you mean 'rpm'"),
    ],
    ids=str,
)
def test_an_unknown_name_says_what_there_is(settings: dict[str, Any], said: str):
    """The message lists the known names or the nearest one, and nothing is left enabled."""
    with pytest.raises(UnknownName, match=said):
        aios_adapters.enable(**settings)
    assert session.in_force() is None


def test_an_unknown_key_of_the_configuration_file_says_which_file(tmp_path, monkeypatch):
    """A misspelt key is an error that names the key and the known ones."""
    (tmp_path / "aios.toml").write_text('polcy = "wfq"\n', encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownName, match="policy"):
        aios_adapters.enable()


def test_a_model_that_cannot_be_loaded_fails_its_calls_and_no_others():
    """The caller learns what could not be loaded; another model's calls are served meanwhile."""
    kernel = Kernel(llm={"broken": "torch:/no/such/model", "*": ScriptedCore(lambda call: "fine")})
    with pytest.raises(ModelLoadError, match="/no/such/model"), kernel.syscall(ChatCall(model="broken")):
        pass
    with kernel.syscall(CALL) as grant:
        assert grant.reply().text == "fine"
    kernel.close()


def test_a_policy_that_raises_fails_its_call_and_no_others():
    """The error names the policy and a remedy; agents that it can rank are served."""

    class Picky(Policy):
        name = "picky"

        def rank(self, task: Any, now: float) -> Any:
            return 1 / (0 if task.label == "chat bad" else 1)

    kernel = Kernel(policy=Picky(), llm=ScriptedCore(lambda call: "fine"))
    with pytest.raises(PolicyError, match=r"'picky'.*policy='fifo'"), kernel.syscall(ChatCall(model="bad")):
        pass
    with kernel.syscall(CALL) as grant:
        assert grant.reply().text == "fine"


def test_a_full_queue_refuses_and_goes_on():
    """Who comes when the queue is full is told how to raise the bound; who waits is served."""
    kernel = Kernel(limits={"llm:*": {"in_flight": 1}}, max_waiting=1)
    served: list[str] = []

    def wait() -> None:
        with kernel.syscall(CALL):
            served.append("waited")

    def refused() -> None:
        with pytest.raises(QueueFull, match="max_waiting"), kernel.syscall(CALL):
            pass
        served.append("refused")

    with kernel.syscall(CALL):
        waiter, late = threading.Thread(target=wait), threading.Thread(target=refused)
        waiter.start()
        wait_until(lambda: kernel.status().resources[0]["waiting"] == 1)
        late.start()
        late.join(PATIENCE)
    waiter.join(PATIENCE)
    assert served == ["refused", "waited"]
