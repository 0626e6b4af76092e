"""Sets of tools as a model sees them: the shipped five, or others with names and descriptions of many kinds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from aios_evals.embedded.tasks import Task, World, ask
from aios_evals.embedded.words import Source
from aios_kernel.tools import Toolbox


@dataclass(frozen=True)
class Tool:
    """One tool: how it is called, and which kind of work it does (None: a distractor)."""

    name: str
    description: str
    parameters: tuple[str, ...]
    kind: str | None

    def spec(self) -> dict[str, Any]:
        """Return the form of the OpenAI API."""
        schema = {
            "type": "object",
            "properties": {p: {"type": "string"} for p in self.parameters},
            "required": list(self.parameters),
        }
        return {
            "type": "function",
            "function": {"name": self.name, "description": self.description, "parameters": schema},
        }

    def line(self) -> str:
        """Return the line under which the chat template and the ReAct prompt show the tool."""
        return f"- {self.name}({', '.join(f'{p}: string' for p in self.parameters)}) - {self.description}"


@dataclass(frozen=True)
class Kind:
    """A kind of tool under many names; the second list of a pair is held out for the test."""

    names: tuple[list[str], list[str]]
    descriptions: tuple[list[str], list[str]]
    parameters: list[tuple[str, ...]]
    requests: tuple[list[str], list[str]] = ((), ())  # type: ignore[assignment]
    answer: str = "$1"
    fields: str = ""


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split("|") if part.strip()]


def _kind(
    names: str,
    test: str,
    descriptions: str,
    held: str,
    parameters: str,
    requests: str = "",
    asked: str = "",
    answer: str = "",
    fields: str = "",
) -> Kind:
    return Kind(
        (names.split(), test.split()),
        (_split(descriptions), _split(held)),
        [tuple(p.split()) for p in _split(parameters)],
        (_split(requests), _split(asked)),
        answer,
        fields,
    )


CORE: Mapping[str, Kind] = {
    "calculate": _kind(
        "calculator calc evaluate math compute eval_math do_math math_tool solve arithmetic calc_tool Calculator",
        "math_engine expr_solver number_cruncher evaluate_expression",
        "Evaluate a math expression.|Calculate the value of an arithmetic expression.|Useful for math. Input is an expression.|Do arithmetic."
        "|A calculator for numbers.|Compute the result of a formula.|Performs basic math calculations.|Answers math questions.",
        "Evaluate an arithmetic formula and give the result.|Use this for any math.|Calculates an expression with numbers.",
        "expression|expr|formula|input|equation|query",
    ),
    "remember": _kind(
        "save_memory store memorize set_memory memory_write put_memory save_fact note_down store_fact add_memory memory_save add_note save_note",
        "keep_in_mind memory_put save_to_memory remember_fact",
        "Save a value in memory under a key.|Store a fact in memory.|Remember a value for later.|Put a key and value into memory."
        "|Writes to long term memory.|Memorize something about the user.|Save information to memory.|Keep a note.",
        "Store a value in the memory for later use.|Remember a fact under a key.|Save a key and value.",
        "key value|key value|name value|label content|topic fact|key data|title text",
    ),
    "recall": _kind(
        "get_memory lookup memory_read fetch_memory read_memory find_fact get_fact load_memory memory_get retrieve get_note find_note",
        "memory_find recall_fact get_from_memory look_in_memory",
        "Get a value from memory by key.|Recall a saved fact.|Look up a value in memory.|Read from long term memory."
        "|Retrieve something saved earlier.|Find what was stored under a key.|Returns the memory saved for a key.|Look up a note.",
        "Get a fact saved earlier from memory.|Look up the value stored for a key.|Recall something from memory.",
        "key|key|name|label|topic|query|title",
    ),
    "write_file": _kind(
        "save_file create_file file_write write make_file store_file write_text put_file save_text fs_write",
        "file_save write_to_file text_write create_text_file",
        "Write text to a file.|Create a file with the given content.|Save content to a file on disk.|Writes a file.|Store text in a file."
        "|Put content into a file at a path.",
        "Save the text to a file.|Create or write a file.|Write content to disk.",
        "path content|filename content|file text|file_path content|filename text|path data",
    ),
    "read_file": _kind(
        "open_file load_file file_read cat get_file read show_file view_file read_text fs_read",
        "file_open load_text_file read_from_file file_get",
        "Read a file.|Read text from a file.|Return the content of a file.|Opens a file and shows its content.|Load a file from disk."
        "|Get the text of a file at a path.",
        "Read the content of a file.|Show the text of a file.|Load the file and return its text.",
        "path|filename|file|file_path|path|filename",
    ),
}
# fields: how each argument is drawn: c city, t text, w word, n number, p person, m message, k code
OTHER: Mapping[str, Kind] = {
    "weather": _kind(
        "get_weather weather forecast check_weather weather_tool",
        "city_weather weather_lookup",
        "Get the weather in a city.|Weather forecast for a city.|Returns the current weather.",
        "Check the weather for a city.",
        "city|location|place",
        "what is the weather in {0}?|weather in {0}|how is the weather in {0}?|tell me the weather in {0}|is it cold in {0}?",
        "check the weather for {0}|what is the weather like in {0}?",
        "The weather in {0}: $1",
        "c",
    ),
    "search": _kind(
        "search web_search search_web google find_online",
        "online_search search_tool",
        "Search the web.|Find information online.|Web search for a query.",
        "Search online for information.",
        "query|q|text",
        "search for {0}|search the web for {0}|look online for {0}|google {0}|find pages about {0}",
        "search online for {0}|do a web search for {0}",
        "I found: $1",
        "t",
    ),
    "email": _kind(
        "send_email email mail_send send_mail",
        "mail_tool email_person",
        "Send an email to a person.|Sends a mail.|Write an email.",
        "Send a mail to somebody.",
        "to body|recipient message|to text",
        'send an email to {0} saying "{1}"|email {0}: "{1}"|write {0} an email that says "{1}"|mail "{1}" to {0}',
        'send {0} a mail with the text "{1}"|email "{1}" to {0}',
        "I sent the email to {0}.",
        "pm",
    ),
    "translate": _kind(
        "translate translator translate_text",
        "language_tool to_language",
        "Translate text to a language.|Translates words.|A translation service.",
        "Translate a text into another language.",
        "text language|text target|phrase language",
        'translate "{0}" to {1}|how do you say "{0}" in {1}?|put "{0}" into {1}|what is "{0}" in {1}?',
        'give me "{0}" in {1}|translate the text "{0}" into {1}',
        "In {1}: $1",
        "ml",
    ),
    "time": _kind(
        "get_time clock current_time time_in",
        "world_clock time_tool",
        "Get the current time in a city.|Returns the time.|A clock for any place.",
        "Tell the time in a place.",
        "city|zone|place",
        "what time is it in {0}?|tell me the time in {0}|current time in {0}|how late is it in {0}?",
        "what is the time in {0}?|time in {0} now",
        "It is $1 in {0}.",
        "c",
    ),
    "stock": _kind(
        "stock_price get_stock quote price_of_stock",
        "market_price stock_lookup",
        "Get the price of a stock.|Stock quotes.|Returns the price for a symbol.",
        "Look up the price of a share.",
        "symbol|ticker|name",
        "what is the stock price of {0}?|price of {0} stock|how much is a share of {0}?|get the quote for {0}",
        "look up the share price of {0}|what does a share of {0} cost?",
        "{0} is at $1.",
        "k",
    ),
    "alarm": _kind(
        "set_alarm alarm wake_me timer",
        "alarm_clock new_alarm",
        "Set an alarm clock.|Sets an alarm for a time.|Wake the user.",
        "Create an alarm at a time.",
        "time|when|at",
        "set an alarm for {0}|wake me at {0}|alarm at {0}|I need an alarm for {0}",
        "create an alarm for {0}|please wake me up at {0}",
        "The alarm is set for {0}.",
        "h",
    ),
    "delete": _kind(
        "delete_file remove_file rm erase_file",
        "file_remove drop_file",
        "Delete a file from disk.|Removes a file.|Erase a file.",
        "Delete the file at a path.",
        "path|filename|file",
        "delete {0}|remove the file {0}|erase {0}|get rid of {0}",
        "delete the file {0}|throw away {0}",
        "I deleted {0}.",
        "f",
    ),
    "convert": _kind(
        "convert_units unit_converter convert",
        "units change_unit",
        "Convert between units.|Converts a value to another unit.",
        "Change a value into another unit.",
        "value unit|amount to|quantity target",
        "convert {0} to {1}|how much is {0} in {1}?|{0} in {1}",
        "change {0} into {1}|what is {0} in {1}?",
        "That is $1.",
        "uv",
    ),
    "message": _kind(
        "post_message slack_post send_message chat_post",
        "channel_post message_tool",
        "Post a message to a channel.|Sends a message to a channel.",
        "Put a message on a channel.",
        "channel message|to text|channel text",
        'post "{1}" to {0}|send "{1}" to the channel {0}|tell the channel {0}: "{1}"',
        'write "{1}" in the channel {0}|put "{1}" on {0}',
        "I posted it to {0}.",
        "km",
    ),
    "sql": _kind(
        "query_db run_sql database",
        "db_query",
        "Run a SQL query.|Query the database.",
        "Ask the database.",
        "sql|query",
        fields="t",
    ),
    "shell": _kind(
        "run_shell bash shell_exec terminal",
        "command_line",
        "Run a shell command.|Execute a command.",
        "Run a command in a shell.",
        "command|cmd",
        fields="t",
    ),
    "image": _kind(
        "draw_image make_picture image_gen",
        "paint",
        "Draw an image from a prompt.|Make a picture.",
        "Create a picture.",
        "prompt|text",
        fields="t",
    ),
    "url": _kind(
        "open_url fetch_page browse http_get",
        "page_open",
        "Open a web page.|Fetch a URL.",
        "Load a page.",
        "url|link",
        fields="t",
    ),
    "event": _kind(
        "create_event calendar_add",
        "schedule_event",
        "Add an event to the calendar.|Creates a meeting.",
        "Put an event in the calendar.",
        "title date|name day",
        fields="td",
    ),
    "list": _kind(
        "list_files ls dir_list",
        "folder_list",
        "List the files in a folder.|Show a folder.",
        "List a directory.",
        "folder|directory|path",
        fields="w",
    ),
}
LANGUAGES = ["French", "German", "Spanish", "Italian", "Dutch", "Polish", "Greek", "Turkish", "Latin", "Swedish"]
CITIES = [
    "Paris",
    "London",
    "Berlin",
    "Tokyo",
    "Madrid",
    "Rome",
    "Oslo",
    "Boston",
    "Lima",
    "Cairo",
    "Delhi",
    "Seoul",
    "Chicago",
    "Sydney",
    "Toronto",
    "Moscow",
]
CITIES_TEST = ["Lisbon", "Prague", "Vienna", "Dublin", "Athens", "Zurich", "Warsaw", "Denver"]
UNITS = ["km", "miles", "kg", "pounds", "meters", "feet", "liters", "gallons", "inches", "grams"]


@cache
def shipped() -> tuple[Tool, ...]:
    """Return the five tools of the project."""
    functions = [spec["function"] for spec in Toolbox.specs()]
    return tuple(Tool(f["name"], f["description"], tuple(f["parameters"]["properties"]), f["name"]) for f in functions)


def draw_field(s: Source, kind: str) -> str:
    """Draw one argument of a tool that is not of the shipped kinds."""
    makers = {
        "c": lambda: s.side(CITIES, CITIES_TEST) if s.chance(0.6) else s.invented().capitalize(),
        "t": lambda: s.phrase(1, 4),
        "w": s.word,
        "n": s.number,
        "p": lambda: (
            s.invented().capitalize()
            if s.chance(0.6)
            else s.pick(["Anna", "Bob", "my boss", "Maria", "Tom", "the team"])
        ),
        "m": s.content,
        "k": lambda: "".join(s.pick("ABCDEFGHKLMNPRSTUVXZ") for _ in range(3)) if s.chance(0.5) else s.invented(),
        "l": lambda: s.pick(LANGUAGES),
        "h": lambda: f"{s.random.randint(1, 12)}:{s.random.randint(0, 59):02d}" + s.pick(["", " am", " pm"]),
        "f": s.path,
        "u": lambda: f"{s.number()} {s.pick(UNITS)}",
        "v": lambda: s.pick(UNITS),
        "d": lambda: f"2027-0{s.random.randint(1, 9)}-{s.random.randint(10, 28)}",
    }
    return makers[kind]()


def other_task(s: Source, name: str) -> Task:
    """Return a task for one of the other kinds of tool."""
    kind = OTHER[name]
    values = [draw_field(s, code) for code in kind.fields]
    template = s.side(*kind.requests)
    for index in range(len(values)):
        template = template.replace(f"{{{index}}}", f"{{x{index}}}")
    request = ask(s, template, **{f"x{i}": value for i, value in enumerate(values)})
    weather = f"{s.pick(['sunny', 'rainy', 'cloudy', 'windy'])}, {s.random.randint(-9, 39)} degrees"
    result = {
        "weather": weather,
        "time": f"{s.random.randint(0, 23)}:{s.random.randint(10, 59)}",
        "stock": s.number() + ".50",
    }.get(name)
    result = result or ("done" if name in ("email", "alarm", "delete", "message") else s.phrase(1, 6))
    answer = kind.answer.format(*values)
    world = World(answers={"|".join((name, *values)): result})
    return Task(name, request, ((name, tuple(values)),), answer, ("$1",) if "$1" in answer else (), world)


def draw_tool(s: Source, name: str) -> Tool:
    """Return a tool of this kind under one of its many names; in the test under a name never seen."""
    kind = CORE.get(name) or OTHER[name]
    share = s.random.random()
    label = s.side(*kind.names)
    if not s.test and share < 0.15:
        label = s.invented() + s.pick(["", "_tool", "_" + s.invented().lower()])
    elif not s.test and share < 0.3:
        label = s.pick(["my_", "tool_", "do_", "agent_", "fn_"]) + label
    return Tool(label, s.side(*kind.descriptions), s.pick(kind.parameters), name)


def varied(s: Source) -> list[Tool]:
    """Draw a set of two to seven tools, some of them fit for no task."""
    core = s.random.sample(list(CORE), s.random.randint(1, 5))
    other = s.random.sample(list(OTHER), s.random.randint(0 if len(core) > 1 else 1, 3))
    tools = [draw_tool(s, name) for name in core + other]
    unique = {tool.name: tool for tool in tools}
    result = list(unique.values())
    s.random.shuffle(result)
    return result


def shipped_set(s: Source) -> list[Tool]:
    """Draw the shipped tools in some order, at times without a few of them."""
    tools = list(shipped())
    if s.chance(0.4):
        return tools
    s.random.shuffle(tools)
    return tools if s.chance(0.6) else tools[: s.random.randint(2, 4)]


def call_arguments(tool: Tool, arguments: Sequence[str]) -> str:
    """Return the arguments of a call as JSON."""
    return json.dumps(dict(zip(tool.parameters, arguments, strict=True)), ensure_ascii=False)
