"""The SDK: what agents that are written for the kernel call it by; `aios_kernel.sdk.aio` for event loops."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aios_kernel.sdk import programs
from aios_kernel.sdk.binding import function, method, named
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

llm_chat = function(programs.llm_chat)
llm_chat_with_json_output = function(programs.llm_chat_with_json_output)
llm_chat_with_tool_call_output = function(programs.llm_chat_with_tool_call_output)
llm_call_tool = function(programs.llm_call_tool)
llm_operate_file = function(programs.llm_operate_file)
create_memory = function(programs.create_memory)
get_memory = function(programs.get_memory)
update_memory = function(programs.update_memory)
delete_memory = function(programs.delete_memory)
search_memories = function(programs.search_memories)
mount = function(programs.mount)
create_file = function(programs.create_file)
create_dir = function(programs.create_dir)
write_file = function(programs.write_file)
read_file = function(programs.read_file)
retrieve_file = function(programs.retrieve_file)
rollback_file = function(programs.rollback_file)
share_file = function(programs.share_file)
call_tool = function(programs.call_tool)


class Client:
    """The SDK for one agent: each function as a method, without the gate and the agent."""

    def __init__(self, gate: Gate, agent: Agent | str | None = None) -> None:
        self.gate = gate
        self.agent = named(agent)

    llm_chat = method(programs.llm_chat)
    llm_chat_with_json_output = method(programs.llm_chat_with_json_output)
    llm_chat_with_tool_call_output = method(programs.llm_chat_with_tool_call_output)
    llm_call_tool = method(programs.llm_call_tool)
    llm_operate_file = method(programs.llm_operate_file)
    create_memory = method(programs.create_memory)
    get_memory = method(programs.get_memory)
    update_memory = method(programs.update_memory)
    delete_memory = method(programs.delete_memory)
    search_memories = method(programs.search_memories)
    mount = method(programs.mount)
    create_file = method(programs.create_file)
    create_dir = method(programs.create_dir)
    write_file = method(programs.write_file)
    read_file = method(programs.read_file)
    retrieve_file = method(programs.retrieve_file)
    rollback_file = method(programs.rollback_file)
    share_file = method(programs.share_file)
    call_tool = method(programs.call_tool)
