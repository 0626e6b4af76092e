"""A small fixed set of plain questions: is the model with the adapter as good at chat as the one without?"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch

from aios_evals.embedded.distil import answer
from aios_evals.embedded.render import DEFAULT_SYSTEM, turn

# The pattern says what a right answer contains; None: an open question, judged only by its likeness to the base's answer.
QUESTIONS: Mapping[str, str | None] = {
    "What is the capital of France?": "paris",
    "What is the capital of Italy?": "rome",
    "Which city is the capital of Japan?": "tokyo",
    "What is the capital city of Egypt?": "cairo",
    "Which planet is known as the red planet?": "mars",
    "What is the largest ocean on Earth?": "pacific",
    "How many days are in a week?": "seven|7",
    "How many legs does a spider have?": "eight|8",
    "What color do you get when you mix blue and yellow?": "green",
    "Who wrote Romeo and Juliet?": "shakespeare",
    "What is H2O commonly called?": "water",
    "Which animal is known as the king of the jungle?": "lion",
    "What language is spoken in Brazil?": "portuguese",
    "On which continent is Kenya?": "africa",
    "What is the opposite of hot?": "cold|cool",
    "What gas do plants take in from the air?": "carbon dioxide|co2",
    "Who was the first president of the United States?": "washington",
    "What do bees make?": "honey",
    "What is the currency of Japan?": "yen",
    "Which star is closest to the Earth?": "sun|proxima",
    "At what temperature does water freeze in degrees Celsius?": r"\b0\b|zero",
    "What is the tallest mountain in the world?": "everest",
    "Who painted the Mona Lisa?": "leonardo|vinci",
    "How many continents are there?": "seven|7",
    "Hello! Who are you?": "smollm|assistant|ai",
    "Give me a synonym for quick.": "fast|swift|rapid|speedy|prompt",
    "Write a short sentence about a cat.": "cat",
    "Tell me something about the history of Rome.": "rom",
    "How can I sleep better at night?": "sleep",
    "Why is the sky blue?": "light|scatter",
    "Describe the taste of a lemon.": "sour|tart|lemon|citrus",
    "What should I pack for a trip to the beach?": "sun|towel|swim|water",
    "Can you recommend a hobby for a rainy day?": None,
    "How do I make a cup of coffee?": "coffee|water",
    "Write a haiku about the sea.": None,
    "What makes a good friend?": None,
    "My sister is sad today. What can I say to her?": None,
    "Name two fruits.": "apple|banana|orange|grape|berr|mango|pear|peach|lemon",
    "What is machine learning?": "learn|data|comput",
    "Thank you for your help!": None,
}
TOOL_TALK = re.compile(r"tool_call|no tool|have a tool|Action:|no note|no file", re.IGNORECASE)


def prompts() -> list[str]:
    """Return the questions as chats without a system message of their own."""
    return [turn("system", DEFAULT_SYSTEM) + turn("user", question) for question in QUESTIONS]


def measure(model: Any, tokenizer: Any, reference: list[str]) -> dict[str, Any]:
    """Return how many answers are right, talk of tools, equal the base model's, and how likely its answers still are."""
    answers = answer(model, tokenizer, prompts())
    checked = [(text, pattern) for text, pattern in zip(answers, QUESTIONS.values(), strict=True) if pattern]
    return {
        "questions": len(answers),
        "checked": len(checked),
        "right": sum(bool(re.search(pattern, text, re.IGNORECASE)) for text, pattern in checked),
        "talks of tools": sum(bool(TOOL_TALK.search(text)) for text in answers),
        "same as base": sum(a == b for a, b in zip(answers, reference, strict=True)),
        "nats per token of the base's answers": round(nats(model, tokenizer, reference), 4),
        "answers": answers,
    }


@torch.no_grad()
def nats(model: Any, tokenizer: Any, reference: list[str]) -> float:
    """Return the mean negative log-likelihood per token of the reference answers."""
    total, count = 0.0, 0
    for prompt, text in zip(prompts(), reference, strict=True):
        head = tokenizer(prompt + "<|im_start|>assistant\n", add_special_tokens=False)["input_ids"]
        tail = tokenizer(text, add_special_tokens=False)["input_ids"]
        if not tail:
            continue
        logits = model(torch.tensor([head + tail])).logits[0, len(head) - 1 : -1].float()
        total += float(torch.nn.functional.cross_entropy(logits, torch.tensor(tail), reduction="sum"))
        count += len(tail)
    return total / max(count, 1)


def compare(base: Any, adapted: Any, tokenizer: Any) -> dict[str, Any]:
    """Measure a model before and after."""
    reference = answer(base, tokenizer, prompts())
    return {"before": measure(base, tokenizer, reference), "after": measure(adapted, tokenizer, reference)}
