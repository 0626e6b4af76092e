"""Ordinary chat: many short prompts to distil the unchanged model from, and small talk and requests no tool can do."""

from __future__ import annotations

from aios_evals.embedded.tasks import Task
from aios_evals.embedded.words import Source

PLACES = ["Italy", "Spain", "Germany", "Japan", "Canada", "Brazil", "Egypt", "India", "China", "Mexico", "Norway", "Sweden", "Greece", "Kenya", "Peru", "Poland", "Turkey", "Chile", "Cuba", "Austria", "Ireland", "Portugal", "Finland", "Denmark", "Russia", "Argentina", "Thailand", "Vietnam", "Morocco", "Iceland"]
THINGS = ["rain", "the moon", "gravity", "photosynthesis", "a volcano", "democracy", "a black hole", "electricity", "a rainbow", "the internet", "evolution", "a computer", "money", "music", "a galaxy", "bread", "glass", "DNA", "an atom", "a poem", "history", "a river", "sleep", "coffee", "tea", "the sun", "a neuron", "inflation", "a robot", "football", "chess", "a whale", "the heart", "a vaccine", "a magnet", "sound", "light", "time", "wind", "snow", "an algorithm", "Python", "a database", "a browser", "an operating system", "a verb", "a metaphor", "a triangle", "a prime number", "probability", "climate change", "recycling", "a museum", "a novel", "jazz", "yoga", "a garden", "soil", "a bee", "a glacier", "a desert", "an island"]
TEMPLATES = ["What is {t}?", "Explain {t} in one sentence.", "Tell me about {t}.", "Why is {t} important?", "How does {t} work?", "Write a short poem about {t}.", "Give me three facts about {t}.", "Describe {t} to a child.", "What do people think about {t}?", "Write one sentence about {t}.", "What is the capital of {p}?", "What language do people speak in {p}?", "Where is {p}?", "Name a famous city in {p}.", "What food is {p} known for?", "What is {p} famous for?", "Who wrote a famous book about {t}?", "Can you help me understand {t}?", "What is the opposite of {o}?", "Use the word {o} in a sentence.", "What does the word {o} mean?", "Give me a synonym for {o}.", "How are you today?", "Who are you?", "What can you do?", "Tell me a joke about {t}.", "Tell me a short story about {t}.", "What color is {t}?", "Is {t} good for you?", "Hello, can you tell me something about {t}?", "I want to learn about {t}. Where do I start?", "List three things related to {t}.", "What is the difference between {t} and {u}?", "Which is better, {t} or {u}?", "Suggest a title for an essay about {t}.", "Give me a tip about {t}.", "What should I know about {p}?", "How do I say hello in the language of {p}?", "Write a slogan for {t}.", "I feel {o} today.", "My friend likes {t}. What gift should I buy?"]
WORDS = ["happy", "sad", "big", "fast", "cold", "brave", "quiet", "old", "strong", "early", "light", "bright", "kind", "rich", "angry", "simple", "tired", "bored", "proud", "curious", "calm"]
SYSTEMS: list[str | None] = [
    None,
    None,
    None,
    None,
    "You are a helpful assistant.",
    "You are a friendly assistant. Answer briefly.",
    "You are a teacher.",
]
TALK = (
    [
        "Hi",
        "Hello",
        "hello!",
        "Hey",
        "Good morning",
        "hi there",
        "Hello, how are you?",
        "Hey there!",
        "Good evening",
        "Hi, who are you?",
    ],
    ["Hello there", "Hi!", "Good day", "Hey you"],
)
THANKS = (
    ["Thanks", "Thank you", "Great, thanks!", "Good job", "ok thanks", "Bye", "That is all", "Perfect, thank you"],
    ["Thanks a lot", "Thank you!", "Great"],
)
BEYOND = (
    [
        "What is the weather in {c}?",
        "Send an email to {n} about the {w}",
        "Book a flight to {c}",
        "Translate {w} to French",
        "Play the song {w}",
        "Set an alarm for 7:30",
        "What is the stock price of {n}?",
        "What time is it in {c}?",
        "Order a pizza with {w}",
        "Call {n}",
        "Turn on the lights",
        "Search the web for {w}",
        "Find a hotel in {c}",
        "Show me the news about {w}",
        "Post {w} on social media",
        "Buy a ticket to {c}",
        "Draw a picture of a {w}",
        "Take a photo of {n}",
        "Open the web page of {n}",
        "What is the latest score of {n}?",
        "Is it raining in {c} today?",
        "Text {n} that I am late",
        "Start the timer",
        "Reserve a table in {c} for tonight",
        "How is the traffic in {c}?",
        "Send {n} a message",
        "Print the {w} on paper",
        "Please mail the {w} to {n}",
        "What is on TV tonight?",
        "Make a phone call to {n}",
        "Pay the bill for the {w}",
        "Download the {w} app",
        "What is the exchange rate of the dollar?",
        "Get me a taxi in {c}",
        "Restart my computer",
    ],
    [
        "How warm is it in {c} right now?",
        "Write an email to {n}",
        "Reserve a flight to {c}",
        "Play some music by {n}",
        "Wake me up at 6:15",
        "Phone {n} for me",
        "Look on the internet for {w}",
        "What are the news from {c}?",
        "Rent a car in {c}",
        "Order a {w} from the shop",
    ],
)
NO_TOOL = "I have no tool for that."


def prompt(s: Source) -> str:
    """Draw one plain chat prompt."""
    template = s.pick(TEMPLATES)
    text = template.format(t=s.pick(THINGS), u=s.pick(THINGS), p=s.pick(PLACES), o=s.pick(WORDS))
    return text if s.chance(0.85) else text[0].lower() + text[1:].rstrip(".?")


def small_talk(s: Source) -> Task:
    """Greet or thank, with tools at hand: no call is wanted."""
    if s.chance(0.6):
        return Task("talk", s.side(*TALK), (), "Hello! How can I help you?")
    return Task("talk", s.side(*THANKS), (), "You are welcome.")


def beyond(s: Source) -> Task:
    """Ask for something that none of the shipped tools can do."""
    city = (
        s.pick(["Paris", "London", "Berlin", "Tokyo", "Rome", "Oslo", "Boston", "Cairo", "Delhi", "Lisbon"])
        if s.chance(0.6)
        else s.invented().capitalize()
    )
    text = s.side(*BEYOND).format(
        c=city,
        n=s.invented().capitalize() if s.chance(0.5) else s.pick(["Anna", "Tom", "Maria", "my boss"]),
        w=s.word(),
    )
    return Task("no_tool", text if s.chance(0.7) else text[0].lower() + text[1:], (), NO_TOOL, ("no tool",))
