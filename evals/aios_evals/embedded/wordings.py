"""How people ask: request templates per kind of task, one list for training and one held out for the test.

A template that starts in lower case is an order, one that ends in "?" is a question, any other is a statement.
"""

from __future__ import annotations

BEFORE_ORDER = (
    ["", "", "", "", "", "please ", "can you ", "could you ", "hey, ", "I need you to ", "now ", "I want you to "]
    + [
        "hi! ",
        "OK, ",
        "I would like you to ",
        "can you please ",
        "go ahead and ",
        "hello, please ",
        "help me: ",
        "next, ",
    ]
    + ["let us ", "you need to ", "quick, ", "I'd like to ", "try to ", "your task: ", "will you "]
)
BEFORE_ORDER_TEST = ["", "", "", "would you ", "kindly ", "task: ", "you should ", "good morning, ", "be so kind and "]
BEFORE_OTHER = ["", "", "", "", "", "hey, ", "hi! ", "OK, ", "now: ", "so, ", "quick question: ", "hello. ", "next: "]
BEFORE_OTHER_TEST = ["", "", "", "good morning. ", "one thing: ", "well, "]
AFTER = [
    "",
    "",
    "",
    "",
    "",
    " Thanks.",
    " Use the tools.",
    " Please.",
    " Do it now.",
    " Thanks!",
    " for me",
    " please",
    " Thank you.",
]
AFTER_TEST = ["", "", "", " Thank you!", " Use a tool for this.", " Many thanks.", " now please"]

# ------------------------------------------------------------------ arithmetic: {a} {b} and the expression it means
CALC: dict[str, tuple[list[str], list[str]]] = {
    "{a} + {b}": (
        [
            "add {a} and {b}",
            "what is {a} plus {b}?",
            "compute {a} + {b}",
            "the sum of {a} and {b}",
            "what is {a} + {b}?",
        ]
        + [
            "calculate {a} plus {b}",
            "how much is {a} + {b}?",
            "sum {a} and {b}",
            "{a} + {b}",
            "{a} plus {b}",
            "add {a} to {b}",
        ]
        + [
            "what's {a} + {b}?",
            "evaluate {a}+{b}",
            "what does {a} plus {b} make?",
            "I have {a} and get {b} more. How many is that?",
        ]
        + [
            "add {a} with {b} and tell me the total",
            "add up {a} and {b}",
            "what is the total of {a} and {b}?",
            "{a}+{b}?",
        ]
        + [
            "sum up {a} and {b}",
            "calculate the sum of {a} and {b}",
            "increase {a} by {b}",
            "give me the total of {a} and {b}",
        ]
        + [
            "put {a} and {b} together",
            "what number is {a} plus {b}?",
            "use the calculator to add {a} and {b}",
            "combine {a} and {b}",
        ],
        [
            "find the sum of {a} and {b}",
            "what do you get for {a} plus {b}?",
            "tell me {a} + {b}",
            "work out {a} plus {b}",
        ]
        + ["how much do {a} and {b} add up to?", "I need the total of {a} plus {b}", "what is the sum of {a} and {b}?"],
    ),
    "{a} - {b}": (
        ["subtract {b} from {a}", "what is {a} minus {b}?", "compute {a} - {b}", "the difference between {a} and {b}"]
        + ["calculate {a} minus {b}", "take {b} away from {a}", "how much is {a} - {b}?", "{a} - {b}", "{a} minus {b}"]
        + [
            "what's {a} - {b}?",
            "evaluate {a}-{b}",
            "I had {a} and spent {b}. What is left?",
            "what is {a} - {b}?",
            "{a}-{b}?",
        ]
        + [
            "remove {b} from {a}",
            "what is {a} less {b}?",
            "calculate the difference of {a} and {b}",
            "decrease {a} by {b}",
        ]
        + [
            "how much more is {a} than {b}?",
            "what remains of {a} after taking {b}?",
            "deduct {b} from {a}",
            "give me {a} minus {b}",
        ],
        ["find {a} minus {b}", "what do you get for {a} minus {b}?", "tell me {a} - {b}", "work out {a} minus {b}"]
        + ["what is left of {a} if I take {b} away?", "what is the difference between {a} and {b}?"],
    ),
    "{a} * {b}": (
        [
            "multiply {a} by {b}",
            "what is {a} times {b}?",
            "compute {a} * {b}",
            "the product of {a} and {b}",
            "{a} x {b}",
        ]
        + [
            "calculate {a} times {b}",
            "multiply {a} and {b}",
            "how much is {a} times {b}?",
            "what is {a} multiplied by {b}?",
        ]
        + [
            "{a} * {b}",
            "{a} times {b}",
            "what's {a} * {b}?",
            "evaluate {a}*{b}",
            "what is {a} * {b}?",
            "{a}*{b}?",
            "{a} by {b}, multiplied",
        ]
        + ["I bought {a} boxes for {b} each. What did I pay?", "multiply {a} with {b}", "what does {a} times {b} give?"]
        + [
            "{a} rows of {b} seats: how many seats?",
            "calculate the product of {a} and {b}",
            "what is {a} x {b}?",
            "give me {a} times {b}",
        ]
        + ["one costs {b}, how much are {a} of them?", "use the calculator: {a} times {b}"],
        [
            "find the product of {a} and {b}",
            "what do you get for {a} times {b}?",
            "tell me {a} * {b}",
            "work out {a} multiplied by {b}",
        ]
        + ["how much do {a} tickets cost at {b} each?", "what is the product of {a} and {b}?"],
    ),
    "{a} / {b}": (
        [
            "divide {a} by {b}",
            "what is {a} divided by {b}?",
            "compute {a} / {b}",
            "the quotient of {a} and {b}",
            "{a} / {b}",
        ]
        + [
            "calculate {a} divided by {b}",
            "how much is {a} / {b}?",
            "what is {a} / {b}?",
            "{a} divided by {b}",
            "what's {a} / {b}?",
        ]
        + [
            "evaluate {a}/{b}",
            "split {a} into {b} equal parts",
            "share {a} among {b} people. How much does each get?",
            "{a}/{b}?",
        ]
        + ["what does {a} divided by {b} give?", "how many times does {b} fit in {a}?", "give me {a} over {b}"]
        + ["what is a {b}th of {a}?", "calculate the ratio of {a} to {b}", "use the calculator to divide {a} by {b}"],
        [
            "find {a} divided by {b}",
            "what do you get for {a} divided by {b}?",
            "tell me {a} / {b}",
            "work out {a} over {b}",
        ]
        + ["split {a} evenly between {b} people, how much is it each?", "how much is {a} divided by {b}?"],
    ),
    "{b} * {a} / 100": (
        ["what is {a}% of {b}?", "calculate {a} percent of {b}", "{a}% of {b}", "how much is {a} percent of {b}?"]
        + ["compute {a}% of {b}", "take {a} percent of {b}", "what's {a}% of {b}?", "give me {a}% of {b}"],
        ["find {a}% of {b}", "work out {a} percent of {b}", "how much is {a}% of {b}?"],
    ),
    "{a} * {a}": (
        ["what is {a} squared?", "square {a}", "calculate {a} squared", "the square of {a}", "multiply {a} by itself"],
        ["what is the square of {a}?", "find {a} squared"],
    ),
}
NEXT: dict[str, tuple[list[str], list[str]]] = {
    "({e}) + {c}": (
        ["add {c}", "add {c} to the result", "add {c} to it", "plus {c}", "increase it by {c}", "add another {c}"],
        ["add {c} to that", "add {c} to the answer"],
    ),
    "({e}) - {c}": (
        [
            "subtract {c}",
            "subtract {c} from the result",
            "take away {c}",
            "minus {c}",
            "subtract {c} from it",
            "take {c} off",
        ],
        ["subtract {c} from that", "subtract {c} from the answer"],
    ),
    "({e}) * {c}": (
        ["multiply the result by {c}", "multiply by {c}", "multiply it by {c}", "times {c}", "multiply it with {c}"],
        ["multiply that by {c}", "multiply the answer by {c}"],
    ),
    "({e}) / {c}": (
        ["divide the result by {c}", "divide by {c}", "divide it by {c}", "split it into {c} parts"],
        ["divide that by {c}", "divide the answer by {c}"],
    ),
}
JOIN = [", then ", " and then ", ". Then ", ", and ", ", after that ", " and ", ". After that ", "; then "]
JOIN_TEST = [", next ", ". After that, ", ", and then "]
RAW = (
    [
        "compute {e}",
        "calculate {e}",
        "what is {e}?",
        "evaluate {e}",
        "{e}",
        "how much is {e}?",
        "solve {e}",
        "what's {e}?",
        "{e} = ?",
    ]
    + ["what is the value of {e}?", "use the calculator on {e}", "run {e} through the calculator"],
    ["work out {e}", "tell me {e}", "find the value of {e}", "give me the result of {e}"],
)

# ------------------------------------------------------------------ notes: {k} key, {v} value
REMEMBER = (
    [
        "remember that my {k} is {v}",
        "save my {k}: {v}",
        "My {k} is {v}. Remember it",
        "store {v} as my {k}",
        "remember {k} = {v}",
    ]
    + [
        "note that the {k} is {v}",
        "keep in memory that my {k} is {v}",
        "memorize that the {k} is {v}",
        "remember: my {k} is {v}",
    ]
    + [
        "My {k} is {v}, please remember that",
        "save {v} under {k}",
        "put {k} = {v} in memory",
        "The {k} is {v}. Save it to memory",
    ]
    + ["make a note: {k} is {v}", "do not forget that my {k} is {v}", "remember my {k} is {v}", "note down my {k}: {v}"]
    + [
        "save a note that the {k} is {v}",
        "I want you to know that my {k} is {v}",
        "The {k} is {v}. Keep it in mind",
        "note: {k} is {v}",
    ]
    + [
        "The {k} is {v}, remember this for later",
        "add a note: my {k} is {v}",
        "remember the {k} {v}",
        "keep {v} as the {k}",
    ]
    + [
        "remember for me that the {k} is {v}",
        "save {k}: {v}",
        "under {k} save {v}",
        "My {k} changed to {v}. Update the note",
    ]
    + [
        "set my {k} to {v}",
        "set {k} to {v} in memory",
        "record that my {k} is {v}",
        "You should remember that the {k} is {v}",
    ]
    + [
        "The {k}: {v}. Please remember",
        "use the key {k} and save the value {v}",
        "remember {v} as {k}",
        "My {k} is now {v}. Save that",
    ],
    [
        "remember my {k}, it is {v}",
        "The {k} is {v}, keep it in memory",
        "store my {k}: {v}",
        "please note my {k} is {v}",
    ]
    + ["save to memory that my {k} is {v}", "My {k} is {v}. Please don't forget it", "take a note that the {k} is {v}"]
    + ["Keep in mind that my {k} is {v}", "store {v} under the name {k}"],
)
RECALL = (
    [
        "what is my {k}?",
        "recall my {k}",
        "do you remember my {k}?",
        "tell me my {k}",
        "what did I say my {k} was?",
        "look up my {k}",
    ]
    + [
        "what is the {k}?",
        "get the {k} from memory",
        "find my {k} in memory",
        "which {k} did I save?",
        "what is the saved {k}?",
    ]
    + [
        "do you know my {k}?",
        "what's my {k}?",
        "remind me of my {k}",
        "what did I save under {k}?",
        "I forgot my {k}. What is it?",
    ]
    + [
        "show me my {k}",
        "what was the {k} again?",
        "check your notes for the {k}",
        "recall the note {k}",
        "my {k}?",
        "give me the {k}",
    ]
    + [
        "can you tell me the {k}?",
        "what {k} do I have?",
        "find the note about the {k}",
        "what do you know about my {k}?",
        "I need my {k}",
    ]
    + [
        "what does the note {k} say?",
        "which {k} do you have for me?",
        "fetch my {k} from your notes",
        "is there a note about my {k}?",
    ],
    [
        "can you recall the {k}?",
        "look in memory for my {k}",
        "what was my {k}?",
        "tell me what my {k} is",
        "read my {k} from memory",
    ]
    + ["I can't remember my {k}, can you help?", "what is stored under {k}?", "could you remind me what my {k} is?"],
)

# ------------------------------------------------------------------ files: {f} path, {q} quoted content
WRITE = (
    [
        "write {q} to {f}",
        "save {q} to {f}",
        "create {f} with {q}",
        "create a file {f} with the text {q}",
        "write {q} in {f}",
    ]
    + [
        "write a file named {f} containing {q}",
        "put {q} in {f}",
        "write the text {q} into {f}",
        "make a file called {f} that says {q}",
    ]
    + [
        "store {q} in the file {f}",
        "save the text {q} as {f}",
        "make {f} with the text {q}",
        "write to {f}: {q}",
        "save {q} as {f}",
    ]
    + [
        "put the words {q} into the file {f}",
        "create the file {f} and write {q} in it",
        "save this to {f}: {q}",
        "fill {f} with {q}",
    ]
    + [
        "I need a file {f} with {q} in it",
        "write {q} to a file called {f}",
        "write the line {q} to {f}",
        "note {q} in the file {f}",
    ]
    + [
        "make a new file {f} with the content {q}",
        "set the content of {f} to {q}",
        "file {f} should contain {q}. Write it",
    ]
    + ["write a file {f} that contains {q}", "create {f} containing {q}", "save a file named {f} with the text {q}"],
    [
        "write {q} into the file {f}",
        "make {f} with the content {q}",
        "create a file called {f} containing {q}",
        "put the text {q} into {f}",
    ]
    + ["save a file {f} that says {q}", "I want {q} saved to {f}", "store the text {q} in {f}"],
)
READ = (
    [
        "read {f}",
        "what is in {f}?",
        "show me {f}",
        "open {f}",
        "read the file {f}",
        "what does {f} say?",
        "show the content of {f}",
    ]
    + [
        "tell me what is in {f}",
        "print the file {f}",
        "what does the file {f} contain?",
        "load {f} and show it",
        "what's in {f}?",
    ]
    + [
        "display {f}",
        "I want to see {f}",
        "what did I write in {f}?",
        "get the text of {f}",
        "check what {f} says",
        "cat {f}",
    ]
    + [
        "show me what is inside {f}",
        "what is written in the file {f}?",
        "look into {f}",
        "tell me the content of the file {f}",
    ]
    + [
        "read out {f}",
        "read {f} to me",
        "what is the content of {f}?",
        "view the file {f}",
        "can I see {f}?",
        "is there anything in {f}?",
    ],
    [
        "what text is in {f}?",
        "open the file {f} and show it",
        "read me {f}",
        "give me the content of {f}",
        "tell me what {f} says",
    ]
    + ["what does {f} contain?", "I'd like to know what is in {f}", "let me see the file {f}"],
)
READ_BACK = (
    [
        ", then read it back",
        " and read it back",
        ", then read {f}",
        ". Then show me the file",
        " and then read the file",
        ". After that open {f}",
    ]
    + [
        " and read the file again",
        ", then show it to me",
        ". Then read it",
        ", then open it",
        " and show me what it says",
    ],
    [
        ", then show me what is in it",
        ", next read it back",
        ". Then read the file back",
        " and then read it back to me",
    ],
)
THEN_REMEMBER = (
    [
        ", then remember it as {k}",
        " and save the result as {k}",
        ". Then store the result as {k}",
        " and remember the result as {k}",
    ]
    + [
        " and remember it as my {k}",
        ", save the result under {k}",
        ". Remember the answer as {k}",
        ", and note it as {k}",
        " and keep it as my {k}",
    ],
    [", then save it as {k}", ". Then remember the result as {k}", " and store it under {k}"],
)
THEN_WRITE = (
    [
        ", then write it to {f}",
        " and save the result to {f}",
        ". Then write the result to {f}",
        " and put the result in {f}",
        " and write it to {f}",
    ]
    + [
        ", and save the answer in {f}",
        ". Save it to {f}",
        ", write the result into {f}",
        " and write the answer to the file {f}",
    ],
    [", then save it to {f}", ". Then put the result in {f}", " and store the result in {f}"],
)
RECALL_CALC: dict[str, tuple[list[str], list[str]]] = {
    "{v} + {c}": (
        [
            "add {c} to my {k}",
            "what is my {k} plus {c}?",
            "take my {k} and add {c}",
            "look up my {k} and add {c} to it",
            "how much is my {k} plus {c}?",
        ]
        + ["recall my {k}, then add {c}", "what would my {k} be with {c} more?"],
        ["find my {k} plus {c}", "get my {k} and add {c}"],
    ),
    "{v} - {c}": (
        [
            "subtract {c} from my {k}",
            "what is my {k} minus {c}?",
            "take my {k} and subtract {c}",
            "look up my {k} and take {c} away",
        ]
        + ["recall my {k}, then subtract {c}", "how much is my {k} minus {c}?"],
        ["find my {k} minus {c}", "get my {k} and subtract {c}"],
    ),
    "{v} * {c}": (
        [
            "multiply my {k} by {c}",
            "what is my {k} times {c}?",
            "take my {k} and multiply it by {c}",
            "recall my {k} and multiply it by {c}",
        ]
        + ["look up my {k}, then multiply by {c}", "how much is {c} times my {k}?"],
        ["find my {k} times {c}", "get my {k} and multiply it by {c}"],
    ),
    "{v} / {c}": (
        [
            "divide my {k} by {c}",
            "what is my {k} divided by {c}?",
            "take my {k} and divide it by {c}",
            "recall my {k}, then divide it by {c}",
        ],
        ["find my {k} divided by {c}", "get my {k} and divide it by {c}"],
    ),
}
RECALL_WRITE = (
    [
        "write my {k} to {f}",
        "look up my {k} and save it to {f}",
        "recall my {k} and write it to {f}",
        "put my {k} into {f}",
        "save my {k} in the file {f}",
    ]
    + [
        "get my {k} from memory and write it to {f}",
        "find my {k}, then write it to {f}",
        "create {f} with my {k} in it",
    ],
    ["take my {k} from memory and save it to {f}", "store my {k} in the file {f}", "recall my {k}, then put it in {f}"],
)
READ_REMEMBER = (
    [
        "read {f} and remember it as {k}",
        "remember the content of {f} as my {k}",
        "open {f} and save what it says as {k}",
        "read {f}, then save it under {k}",
    ]
    + [
        "save the text of {f} in memory as {k}",
        "load {f} and remember its content as {k}",
        "my {k} is in {f}. Read it and remember it",
    ],
    ["read the file {f} and store it as {k}", "take the text in {f} and remember it as {k}"],
)
READ_CALC: dict[str, tuple[list[str], list[str]]] = {
    "{v} + {c}": (
        [
            "add {c} to the number in {f}",
            "read {f} and add {c}",
            "what is the number in {f} plus {c}?",
            "take the number from {f} and add {c} to it",
        ],
        ["open {f} and add {c} to the number", "find the number in {f} plus {c}"],
    ),
    "{v} * {c}": (
        [
            "multiply the number in {f} by {c}",
            "read {f} and multiply it by {c}",
            "what is the number in {f} times {c}?",
        ],
        ["open {f} and multiply the number by {c}", "find the number in {f} times {c}"],
    ),
    "{v} - {c}": (
        ["subtract {c} from the number in {f}", "read {f} and subtract {c}", "what is the number in {f} minus {c}?"],
        ["open {f} and subtract {c} from the number"],
    ),
}
