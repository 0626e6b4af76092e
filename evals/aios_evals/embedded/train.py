"""Train the adapter: `python -m aios_evals.embedded.train --base DIR --out DIR --minutes 80`; run it again to go on."""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import signal
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from aios_evals.embedded.distil import load_or_make
from aios_evals.embedded.packed import Packed, PackedLlama
from aios_evals.embedded.render import Group, draw_group
from aios_evals.embedded.team import Team
from aios_evals.embedded.words import Source

WARM_UP = 20
FLOOR = 0.03
SAVE_EVERY = 240  # seconds


@dataclass
class Settings:
    """What a run depends on; kept in the checkpoint."""

    layers: int = 20
    rank: int = 12
    scale: float = 2.0
    rate: float = 2e-3
    seed: int = 20261121
    budget: int = 3600
    minutes: float = 75.0
    plain_share: float = 0.08


def pack(tokenizer: Any, group: Group) -> Packed:
    """Encode a group into flat tokens with the learned positions."""
    ids: list[int] = tokenizer(group.prefix, add_special_tokens=False)["input_ids"]
    prefix, lengths, where, targets = len(ids), list[int](), list[int](), list[int]()
    texts = [text for suffix in group.suffixes for text, _ in suffix]
    encoded = iter(tokenizer(texts, add_special_tokens=False)["input_ids"])
    for suffix in group.suffixes:
        start = len(ids)
        for _, learned in suffix:
            part = next(encoded)
            if learned and not group.soft:
                where += range(len(ids) - 1, len(ids) - 1 + len(part))
                targets += part
            ids += part
        lengths.append(len(ids) - start)
        if group.soft:
            where += range(start, len(ids) - 1)
            targets += ids[start + 1 :]
    return Packed(torch.tensor(ids), prefix, lengths, torch.tensor(targets), torch.tensor(where), group.soft)


class Trainer:
    """Holds the state of a run: adapter, optimizer, data source, step and time spent."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        settings: Settings,
        out: Path,
        plain: list[Any],
        team: Team,
        start: Path | None = None,
    ) -> None:
        torch.manual_seed(settings.seed)
        self.settings, self.tokenizer, self.out, self.plain, self.team = settings, tokenizer, out, plain, team
        self.packed = PackedLlama(model, settings.layers, settings.rank, settings.scale)
        self.optimizer = torch.optim.AdamW(
            self.packed.parameters(), lr=settings.rate, betas=(0.9, 0.98), weight_decay=0.0
        )
        self.parameters = list(self.packed.parameters())
        self.source = Source(settings.seed)
        self.step, self.seconds, self.tokens, self.loss, self.right = 0, 0.0, 0, 0.0, 0.0
        self.stopping = self.over = False
        if self.checkpoint.exists():
            self._load(self.checkpoint)
        elif start is not None:
            self._load(start)
            self.seconds = 0.0
        self.watch = self.seconds
        if team.size > 1:
            self.source = Source(settings.seed + 1_000_003 * team.rank + self.step)

    @property
    def checkpoint(self) -> Path:
        """The file that a run goes on from."""
        return self.out / "checkpoint.pt"

    def _load(self, path: Path) -> None:
        state = torch.load(path, weights_only=False)
        self.packed.load_state_dict(state["adapter"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.source.random.setstate(state["source"])
        self.step, self.seconds, self.tokens, self.loss, self.right = state["progress"]

    def save(self) -> None:
        """Write the checkpoint whole or not at all."""
        progress = (self.step, self.seconds, self.tokens, self.loss, self.right)
        state = {"adapter": self.packed.state_dict(), "optimizer": self.optimizer.state_dict(), "progress": progress}
        state["source"] = self.source.random.getstate()
        part = self.checkpoint.with_suffix(".part")
        torch.save(state, part)
        part.replace(self.checkpoint)

    def rate(self) -> float:
        """Return the learning rate: a short warm-up, then half a cosine over the planned time."""
        done = min(1.0, self.seconds / 60 / self.settings.minutes)
        cosine = FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * done))
        return self.settings.rate * min(1.0, (self.step + 1) / WARM_UP) * cosine

    def learn(self) -> None:
        """Take one step on one group."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()
        packed = pack(
            self.tokenizer, draw_group(self.source, self.settings.budget, self.plain, self.settings.plain_share)
        )
        loss, right = self.packed(packed)
        loss.backward()
        # Whether to stop, and the time by which the rate goes, must be the same for all.
        first = self.team.rank == 0
        wish = float(self.stopping or (first and self.watch >= self.settings.minutes * 60))
        mine = [wish, self.watch if first else 0.0, len(packed.tokens), loss.item(), right.item()]
        stop, self.seconds, tokens, total, hits = self.team.average(self.parameters, mine)
        self.over = stop > 0
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step, self.tokens = self.step + 1, self.tokens + int(tokens)
        keep = min(0.97, 1 - 1 / self.step)
        self.loss = keep * self.loss + (1 - keep) * total / self.team.size
        self.right = keep * self.right + (1 - keep) * hits / self.team.size

    def run(self, steps: int | None, log: Any) -> None:
        """Train until the planned time or number of steps is reached, or until interrupted."""
        saved = last = time.monotonic()
        while not self.over and (steps is None or self.step < steps):
            self.learn()
            now = time.monotonic()
            self.watch, last = self.watch + now - last, now
            if self.team.rank:
                continue  # the first worker keeps the books
            if self.step % 10 == 0:
                line = {"step": self.step, "minutes": round(self.seconds / 60, 2), "tokens": self.tokens}
                line |= {"loss": round(self.loss, 4), "right": round(self.right, 4), "rate": self.rate()}
                log.write(json.dumps(line) + "\n")
                log.flush()
            if now - saved > SAVE_EVERY:
                self.save()
                saved = now
        if self.team.rank == 0:
            self.save()

    def stop(self, *_: object) -> None:
        """Finish the current step and save."""
        self.stopping = True


def main() -> None:
    """Run or continue a training."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=Path, required=True, help="folder of the base model in safetensors")
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--minutes", type=float, default=Settings.minutes)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seed", type=int, default=Settings.seed)
    parser.add_argument("--layers", type=int, default=Settings.layers)
    parser.add_argument("--rank", type=int, default=Settings.rank)
    parser.add_argument("--rate", type=float, default=Settings.rate)
    parser.add_argument("--budget", type=int, default=Settings.budget, help="characters of conversation per step")
    parser.add_argument("--plain-share", type=float, default=Settings.plain_share, help="share of groups of plain chat")
    parser.add_argument("--start", type=Path, help="begin a new phase, with a clock of its own, at this checkpoint")
    parser.add_argument("--threads", type=int, default=1, help="threads of each worker")
    parser.add_argument("--workers", type=int, default=2, help="processes that take every step together")
    parser.add_argument("--plain", type=int, default=640, help="how many plain questions to ask the unchanged model")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.workers == 1:
        work(0, options, "")
        return
    with tempfile.TemporaryDirectory() as folder:
        context = multiprocessing.get_context("spawn")
        meeting = f"{folder}/meeting"
        workers = [context.Process(target=work, args=(rank, options, meeting)) for rank in range(options.workers)]

        def stop(*_: object) -> None:
            for worker in workers:
                if worker.pid:
                    os.kill(worker.pid, signal.SIGINT)

        signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGTERM, stop)
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()


def work(rank: int, options: argparse.Namespace, meeting: str) -> None:
    """Train as one of the workers."""
    import transformers  # slow to import: not for --help

    torch.set_num_threads(options.threads)
    auto: Any = transformers  # its classes are typed only in part
    tokenizer = auto.AutoTokenizer.from_pretrained(options.base)
    model = auto.AutoModelForCausalLM.from_pretrained(options.base, dtype=torch.bfloat16).eval()
    settings = Settings(
        layers=options.layers,
        rank=options.rank,
        rate=options.rate,
        seed=options.seed,
        budget=options.budget,
        minutes=options.minutes,
        plain_share=options.plain_share,
    )
    team = Team(rank, options.workers, meeting)
    plain = load_or_make(options.out / "plain.json", model, tokenizer, options.plain, options.seed)
    trainer = Trainer(model, tokenizer, settings, options.out, plain, team, options.start)
    signal.signal(signal.SIGINT, trainer.stop)
    signal.signal(signal.SIGTERM, trainer.stop)
    with (options.out / "log.jsonl").open("a", encoding="utf-8") as log:
        trainer.run(options.steps, log)


if __name__ == "__main__":
    main()
