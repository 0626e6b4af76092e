"""The SDK for agents in an event loop: the same functions, to be awaited."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aios_kernel.sdk import programs
from aios_kernel.sdk.binding import afunction, amethod, named
from aios_kernel.sdk.programs import Answer, Use

if TYPE_CHECKING:
    from aios_kernel.abi import Agent
    from aios_kernel.gate import Gate

__all__ = [
    "Answer",
    "Client",
    "Use",
    "call_tool",
    "create_dir",
    "create_file",
    "create_memory",
    "delete_memory",
    "get_memory",
    "llm_call_tool",
    "llm_chat",
    "llm_chat_with_json_output",
    "llm_chat_with_tool_call_output",
    "llm_operate_file",
    "mount",
    "read_file",
    "retrieve_file",
    "rollback_file",
    "search_memories",
    "share_file",
    "update_memory",
    "write_file",
]

llm_chat = afunction(programs.llm_chat)
llm_chat_with_json_output = afunction(programs.llm_chat_with_json_output)
llm_chat_with_tool_call_output = afunction(programs.llm_chat_with_tool_call_output)
llm_call_tool = afunction(programs.llm_call_tool)
llm_operate_file = afunction(programs.llm_operate_file)
create_memory = afunction(programs.create_memory)
get_memory = afunction(programs.get_memory)
update_memory = afunction(programs.update_memory)
delete_memory = afunction(programs.delete_memory)
search_memories = afunction(programs.search_memories)
mount = afunction(programs.mount)
create_file = afunction(programs.create_file)
create_dir = afunction(programs.create_dir)
write_file = afunction(programs.write_file)
read_file = afunction(programs.read_file)
retrieve_file = afunction(programs.retrieve_file)
rollback_file = afunction(programs.rollback_file)
share_file = afunction(programs.share_file)
call_tool = afunction(programs.call_tool)


class Client:
    """The SDK for one agent in an event loop: each function as a coroutine method."""

    def __init__(self, gate: Gate, agent: Agent | str | None = None) -> None:
        self.gate = gate
        self.agent = named(agent)

    llm_chat = amethod(programs.llm_chat)
    llm_chat_with_json_output = amethod(programs.llm_chat_with_json_output)
    llm_chat_with_tool_call_output = amethod(programs.llm_chat_with_tool_call_output)
    llm_call_tool = amethod(programs.llm_call_tool)
    llm_operate_file = amethod(programs.llm_operate_file)
    create_memory = amethod(programs.create_memory)
    get_memory = amethod(programs.get_memory)
    update_memory = amethod(programs.update_memory)
    delete_memory = amethod(programs.delete_memory)
    search_memories = amethod(programs.search_memories)
    mount = amethod(programs.mount)
    create_file = amethod(programs.create_file)
    create_dir = amethod(programs.create_dir)
    write_file = amethod(programs.write_file)
    read_file = amethod(programs.read_file)
    retrieve_file = amethod(programs.retrieve_file)
    rollback_file = amethod(programs.rollback_file)
    share_file = amethod(programs.share_file)
    call_tool = amethod(programs.call_tool)
