"""What the SDK's functions do, each written once as a program of syscalls."""

from aios_kernel.sdk.programs.chat import llm_chat, llm_chat_with_json_output, llm_chat_with_tool_call_output
from aios_kernel.sdk.programs.files import (
    create_dir,
    create_file,
    mount,
    read_file,
    retrieve_file,
    rollback_file,
    share_file,
    write_file,
)
from aios_kernel.sdk.programs.memory import create_memory, delete_memory, get_memory, search_memories, update_memory
from aios_kernel.sdk.programs.using import Answer, Use, call_tool, llm_call_tool, llm_operate_file

__all__ = [
    "Answer",
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
